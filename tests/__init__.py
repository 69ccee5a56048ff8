"""The specification's teeth: one test file a kata, at the kata's address; meta/ holds the rules about this repository."""
