"""The katas. Write them one by one; which file answers an import is decided in dojo/serving/finder.py."""

from dojo.serving.finder import serve

serve()
