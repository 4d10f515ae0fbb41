"""Vocabularies in GGUF files, and what Hugging Face's tokenizers make of some texts with the same vocabularies.

    python tests/references/gguf/vocabularies.py

Each is trained on the lines below. The files hold what llama.cpp's convert_hf_to_gguf.py writes of a vocabulary, and no
tensor. Needs sentencepiece and protobuf beside the requirements.
"""

import io
import json
from pathlib import Path

import gguf
import sentencepiece
from gguf import TokenType
from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import GemmaTokenizerFast, LlamaTokenizer
from transformers.convert_slow_tokenizer import TikTokenConverter, convert_slow_tokenizer

HERE = Path(__file__).resolve().parent
LINES = [
    "The bridge was built in 1912 by Ada Holm, who didn't live to see it opened.",
    "Who's there? We've seen 365 days and 24 hours; they'll say it's 3.14159 or 2,718,281.",
    "Die Brücke über den Fluß ist 120 Meter lang. Voilà: où est-ce qu'elle mène, à l'été?",
    "Мост построили в 1912 году. 橋は一九一二年に建てられた。 대교는 길다.",
    "def build(length: int) -> Bridge:\n    return Bridge(length)\n\n\n\tprint('done')  # twice",
    "The mill by the river was sold and the miller's daughter went to the town to learn the trade.",
    "A question is answered when the passage that holds the answer stands in the context.",
]
TEXTS = [
    "",
    " ",
    "Who built the bridge?",
    " The bridge, it's said, wasn't BUILT BY ADA: SHE'D've SAID 'NO'",
    "In 1912 and 20231 they counted 1234567 stones (3.14159).",
    "Die Brücke, u\u0308ber den Fluß; caf\u00e9 and cafe\u0301",
    "two  spaces   and\ttabs \n\n\nlines\r\n end  ",
    "橋は長い。Мост длинный! 대교 🙂👍🏽",
    "def f(x):\n    return x ** 2  # ✓",
    "<|im_start|>user\nWho?<|im_end|>\n",
    "<s>an end</s> and more",
    "word<|im_end|> word",
]
SIZE = 420
CONTROLS = ["<|begin|>", "<|im_start|>", "<|im_end|>"]
BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)


def split(pattern):
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


# As transformers has it for Llama 3, and for Qwen 2 in its converter's source; Mistral's and OpenAI's as published.
LLAMA3 = TikTokenConverter(vocab_file="").pattern
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
LETTERS = [rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+", rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*"]
REST = [r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"]
TEKKEN = "|".join([*LETTERS, r"\p{N}", *REST])
GPT4O = "|".join([*(part + r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?" for part in LETTERS), r"\p{N}{1,3}", *REST])
# Name in the file: cut, normaliser, whether whole words are not merged, whether a text begins with a token.
BYTE_LEVEL = {
    "gpt-2": (BYTES, None, False, False),
    "llama-bpe": (split(LLAMA3), None, True, True),
    "dbrx": (split(LLAMA3), None, False, False),
    "qwen2": (split(QWEN2), normalizers.NFC(), False, False),
    "smollm": (pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), BYTES]), None, False, False),
    "tekken": (split(TEKKEN), None, True, True),
    "gpt-4o": (split(GPT4O), None, False, False),
}


def begin(token, id):
    return processors.TemplateProcessing(f"{token} $A", f"{token} $A $B", special_tokens=[(token, id)])


def byte_level(name):
    cut, normaliser, whole_words, begins = BYTE_LEVEL[name]
    tokenizer = Tokenizer(BPE(ignore_merges=whole_words))
    tokenizer.pre_tokenizer, tokenizer.decoder = cut, decoders.ByteLevel()
    if normaliser:
        tokenizer.normalizer = normaliser
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = BpeTrainer(vocab_size=SIZE, initial_alphabet=alphabet, special_tokens=CONTROLS, show_progress=False)
    tokenizer.train_from_iterator(LINES * 3, trainer)
    # Added by hand, and not steering.
    tokenizer.add_tokens([AddedToken("<tool>", normalized=False, special=False)])
    if begins:
        tokenizer.post_processor = begin(CONTROLS[0], tokenizer.token_to_id(CONTROLS[0]))
    return tokenizer


def write_byte_level(writer, name, tokenizer):
    ids = sorted((id, token) for token, id in tokenizer.get_vocab().items())
    tokens = [token for _, token in ids]
    kinds = {token: TokenType.CONTROL for token in CONTROLS} | {"<tool>": TokenType.USER_DEFINED}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(name)
    writer.add_token_list(tokens)
    writer.add_token_types([kinds.get(token, TokenType.NORMAL) for token in tokens])
    model = json.loads(tokenizer.to_str())["model"]
    writer.add_token_merges([" ".join(pair) for pair in model["merges"]])
    writer.add_bos_token_id(tokenizer.token_to_id(CONTROLS[0]))


# Gemma's order of the first pieces, which its tokenizer takes for given.
GEMMA = {"pad_id": 0, "eos_id": 1, "bos_id": 2, "unk_id": 3}
GEMMA |= {"pad_piece": "<pad>", "eos_piece": "<eos>", "bos_piece": "<bos>", "unk_piece": "<unk>"}


def trained_pieces(**special):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES * 3),
        model_writer=model,
        vocab_size=SIZE,
        model_type="bpe",
        byte_fallback=True,
        split_digits=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True,
        user_defined_symbols=["\n\n", "▁▁▁"],
        minloglevel=2,
        **special,
    )
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue()), model.getvalue()


def pieces_with(kind, proto):
    path = HERE / "pieces.model"
    path.write_bytes(proto)
    try:
        if kind == "gemma":
            return GemmaTokenizerFast(str(path)).backend_tokenizer
        # As the published files of Llama 2 and its kin have it.
        tokenizer = convert_slow_tokenizer(LlamaTokenizer(str(path), legacy=True))
        tokenizer.post_processor = begin("<s>", 1)
        return tokenizer
    finally:
        path.unlink()


def write_pieces(writer, kind, pieces):
    tokens, scores, kinds = [], [], []
    for id in range(pieces.vocab_size()):
        tokens.append(pieces.id_to_piece(id))
        scores.append(pieces.get_score(id))
        if pieces.is_unknown(id):
            kinds.append(TokenType.UNKNOWN)
        elif pieces.is_control(id):
            kinds.append(TokenType.CONTROL)
        elif pieces.is_byte(id):
            kinds.append(TokenType.BYTE)
        else:
            kinds.append(TokenType.USER_DEFINED if tokens[-1] in ("\n\n", "▁▁▁") else TokenType.NORMAL)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores(scores)
    writer.add_token_types(kinds)
    writer.add_bos_token_id(pieces.bos_id())
    writer.add_add_bos_token(True)
    if kind == "gemma":
        writer.add_add_space_prefix(False)


def finish(name, fill, tokenizer):
    writer = gguf.GGUFWriter(HERE / f"vocabulary-{name}.gguf", "llama")
    fill(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    cases = []
    for text in TEXTS:
        ids = tokenizer.encode(text).ids
        cases.append({"text": text, "ids": ids, "decoded": tokenizer.decode(ids, skip_special_tokens=True)})
    return cases


def main():
    reference = {}
    for name in BYTE_LEVEL:
        tokenizer = byte_level(name)
        fill = lambda writer, name=name, tokenizer=tokenizer: write_byte_level(writer, name, tokenizer)  # noqa: E731
        reference[name] = finish(name, fill, tokenizer)
    for kind, special in {"llama": {}, "gemma": GEMMA}.items():
        pieces, proto = trained_pieces(**special)
        fill = lambda writer, kind=kind, pieces=pieces: write_pieces(writer, kind, pieces)  # noqa: E731
        reference[kind] = finish(kind, fill, pieces_with(kind, proto))
    (HERE / "vocabularies.json").write_text(json.dumps(reference, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    main()
