"""Let a published model speak: a Llama, Qwen3 or Mixtral from the files of its folder."""

__all__ = ["chat", "configuration", "folder", "model", "tokenizer"]
