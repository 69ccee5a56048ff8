"""From text to tokens and to batches of them."""
