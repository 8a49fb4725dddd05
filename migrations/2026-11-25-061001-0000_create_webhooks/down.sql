DROP TABLE webhook_batches;
DROP TABLE webhook_secrets;
DROP TABLE webhooks;
