"""`dojo look`: what a trained model does with a text, drawn on one page."""
