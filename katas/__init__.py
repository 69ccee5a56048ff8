"""The katas. Write them one by one; which file answers an import is decided in dojo/serving.py."""

from dojo.serving import serve

serve()
