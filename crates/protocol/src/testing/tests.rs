mod kafka_vectors;
mod values;
