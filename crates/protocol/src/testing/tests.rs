mod kafka_vectors;
mod other_codec;
mod values;
