"""Whether all that an installation needs is there, answers and is as it should be."""
