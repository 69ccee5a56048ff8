"""The forms in which published models were taught to answer, each written out by hand for one question."""

from collections.abc import Collection
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Form:
    """What stands before and after a question, and the token that ends the answer.

    A template of the form has all `marks`, and a tokenizer for it all `tokens`.
    """

    name: str
    marks: tuple[str, ...]
    tokens: tuple[str, ...]
    before: str
    after: str
    end: str

    def of(self, question: str) -> str:
        return f"{self.before}{question.strip()}{self.after}"


CHATML = ("<|im_start|>", "<|im_end|>")
HEADERS = ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
FORMS = (
    Form("ChatML", CHATML, CHATML, "<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n", "<|im_end|>"),
    Form(
        "Llama 3's",
        HEADERS,
        (*HEADERS, "<|begin_of_text|>"),
        "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n",
        "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
        "<|eot_id|>",
    ),
    Form("Mixtral's", ("[INST]", "[/INST]"), ("<s>", "</s>"), "<s> [INST] ", " [/INST]", "</s>"),
)
NO_THOUGHTS = "<think>\n\n</think>\n\n"  # what Qwen3's template writes where thinking is switched off


def form_of(template: str, tokens: Collection[str], family: str) -> Form | None:
    """The form that a template writes, by its marks; None where it is none of these.

    `tokens` are the special tokens of the model. Llama 2 has Mixtral's marks and other spaces.
    """
    for form in FORMS:
        if all(mark in template for mark in form.marks) and all(token in tokens for token in form.tokens):
            if form.name == "Mixtral's" and family != "mixtral":
                return None
            return replace(form, after=form.after + NO_THOUGHTS) if "enable_thinking" in template else form
    return None
