"""What a program costs: time, memory, bytes."""
