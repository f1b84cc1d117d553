"""Several processes that work on one stage: what they tell each other, and how they are found."""
