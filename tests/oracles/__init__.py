"""Foreign judges: programs and libraries that are not ours and say what a file means."""
