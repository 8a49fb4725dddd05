DROP TABLE visit_exports;
