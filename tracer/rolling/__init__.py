"""Python loops of a recorded program, found and made into ops again."""
