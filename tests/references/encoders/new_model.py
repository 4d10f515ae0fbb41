"""ModernBERT's older kin that Hugging Face calls `new` (GTE's v1.5 models), which transformers computes with code from the model's
own folder: BERT with rotary positions, one matrix for queries, keys and values, and a gated feed-forward layer.

Written from the published architecture (arXiv 2407.19669) for the reference outputs: rotary positions, no position embedding,
norms behind the residuals. `ntk` scaling multiplies the base by the factor and divides each frequency by factor ** (2 / width).
"""

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForMaskedLM, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput, MaskedLMOutput


class NewConfig(PretrainedConfig):
    model_type = "new"

    def __init__(
        self,
        vocab_size=96,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        hidden_act="gelu",
        max_position_embeddings=64,
        type_vocab_size=1,
        initializer_range=0.02,
        layer_norm_type="layer_norm",
        layer_norm_eps=1e-12,
        position_embedding_type="rope",
        rope_theta=10000.0,
        rope_scaling=None,
        pack_qkv=True,
        logn_attention_scale=False,
        **others,
    ):
        super().__init__(**others)
        for name, value in locals().items():
            if name not in ("self", "others") and not name.startswith("__"):
                setattr(self, name, value)


def turn(x, cos, sin):
    half = x.shape[-1] // 2
    left, right = x[..., :half], x[..., half:]
    return torch.cat([left * cos - right * sin, right * cos + left * sin], -1)


class Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.heads = config.num_attention_heads
        self.qkv_proj = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.o_proj = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, x, cos, sin, mask):
        batch, length, width = x.shape
        parts = self.qkv_proj(x).split(width, -1)
        q, k, v = (part.view(batch, length, self.heads, -1).transpose(1, 2) for part in parts)
        q, k = turn(q, cos, sin), turn(k, cos, sin)
        scores = q @ k.transpose(2, 3) / q.shape[-1] ** 0.5
        weights = scores.masked_fill(~mask[:, None, None, :], -torch.inf).softmax(-1)
        return self.o_proj((weights @ v).transpose(1, 2).reshape(batch, length, width))


class FeedForward(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.wide = config.intermediate_size
        self.up_gate_proj = nn.Linear(config.hidden_size, 2 * config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, x):
        up, gate = self.up_gate_proj(x).split(self.wide, -1)
        return self.down_proj(nn.functional.gelu(gate) * up)


class Layer(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.attention, self.mlp = Attention(config), FeedForward(config)
        self.attn_ln = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.mlp_ln = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, x, *around):
        x = self.attn_ln(x + self.attention(x, *around))
        return self.mlp_ln(x + self.mlp(x))


class Embeddings(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.token_type_embeddings = (
            nn.Embedding(config.type_vocab_size, config.hidden_size) if config.type_vocab_size else None
        )
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, ids):
        x = self.word_embeddings(ids)
        if self.token_type_embeddings is not None:
            x = x + self.token_type_embeddings.weight[0]
        return self.LayerNorm(x)


class Encoder(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.layer = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))


class NewPreTrainedModel(PreTrainedModel):
    config_class = NewConfig
    base_model_prefix = "new"

    def _init_weights(self, module):
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=self.config.initializer_range)


class NewModel(NewPreTrainedModel):
    def __init__(self, config):
        super().__init__(config)
        self.embeddings, self.encoder = Embeddings(config), Encoder(config)
        self.post_init()

    def forward(self, input_ids, attention_mask, **_):
        width = self.config.hidden_size // self.config.num_attention_heads
        scaling = self.config.rope_scaling
        factor = scaling["factor"] if scaling else 1.0
        pairs = torch.arange(0, width, 2, dtype=torch.float64) / width
        frequencies = (self.config.rope_theta * factor) ** -pairs / factor ** (2 / width)
        angles = torch.outer(torch.arange(input_ids.shape[1], dtype=torch.float64), frequencies)
        cos, sin = angles.cos().float(), angles.sin().float()
        x = self.embeddings(input_ids)
        for layer in self.encoder.layer:
            x = layer(x, cos, sin, attention_mask.bool())
        return BaseModelOutput(last_hidden_state=x)


class Head(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size)

    def forward(self, x):
        return self.decoder(self.norm(nn.functional.gelu(self.dense(x))))


class NewForMaskedLM(NewPreTrainedModel):
    _tied_weights_keys = ["lm_head.decoder.weight"]

    def __init__(self, config):
        super().__init__(config)
        self.new, self.lm_head = NewModel(config), Head(config)
        self.post_init()

    def get_output_embeddings(self):
        return self.lm_head.decoder

    def get_input_embeddings(self):
        return self.new.embeddings.word_embeddings

    def forward(self, input_ids, attention_mask, **_):
        return MaskedLMOutput(logits=self.lm_head(self.new(input_ids, attention_mask).last_hidden_state))


AutoConfig.register("new", NewConfig)
AutoModelForMaskedLM.register(NewConfig, NewForMaskedLM)
