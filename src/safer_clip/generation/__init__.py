"""What generators make of unsafe prompts when a model's encoder is swapped in."""
