"""Programs on a target: scored on what they answer there, timed in turns, judged."""
