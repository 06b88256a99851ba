"""The rows of a Kafka topic are scored in batches, and the predictions written to another (`skline stream`)."""
