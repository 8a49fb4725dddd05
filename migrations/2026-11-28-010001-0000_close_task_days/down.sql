DROP TABLE task_closings;
