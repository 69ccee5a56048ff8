"""The same computation written in many ways, proved equal first and timed then, with torch and Python alone."""

__all__ = [
    "attention",
    "attention_gate",
    "attention_rungs",
    "checks",
    "choosing",
    "classes",
    "drawing",
    "fast_bpe_encoding",
    "fast_bpe_training",
    "generation",
    "generation_rungs",
    "ladder",
    "measuring",
    "table",
    "texts",
    "tiled",
    "tokenizer",
    "tokenizer_rungs",
]
