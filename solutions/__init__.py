"""The reference: every kata, solved. Read a solution after your own is green, with `dojo diff KATA`."""
