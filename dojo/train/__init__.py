"""`dojo train`: the learner's own pieces, put together, learn a text and then write on."""

# The katas that a run is made of.
KATAS = (
    "text/bpe_training",
    "text/bpe_tokenizer",
    "text/dataloader",
    "attention/multihead",
    "gpt/config",
    "gpt/layernorm",
    "gpt/feedforward",
    "gpt/block",
    "gpt/model",
    "pretraining/loss",
    "pretraining/sampling",
    "pretraining/optimizer",
    "pretraining/training",
    "pretraining/checkpoint",
)
END_OF_TEXT = "<|endoftext|>"
