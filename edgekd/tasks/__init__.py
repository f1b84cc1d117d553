"""What a batch is and what counts as quality."""
