"""Objects of other libraries as ours, and ours as theirs: one file each, imported when used."""
