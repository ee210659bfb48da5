"""The same comparison with several seeds: runs in parallel processes, kept as they come, and averaged with intervals."""
