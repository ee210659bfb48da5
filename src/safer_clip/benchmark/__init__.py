"""Building a safety benchmark of one's own: from captioned pictures to reviewed, tightly aligned quadruplets."""
