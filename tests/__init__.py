"""The specification's teeth: one test file a kata, at its address; meta/ holds the rules about this repository."""
