"""Attacks in embedding space: how little has to change for an unsafe item to be found again? Bounded and seeded."""
