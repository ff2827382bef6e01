"""The embedded model as ONNX graphs: what goes in, what comes out, and weights stored small.

Three graphs: the transformer (logits and every layer's attention to the text), the picture decoder, the detector. Weights are stored as
float16 or as whole numbers and turned to float32 when the graph is loaded; all arithmetic is float32, as in the engine.
Shapes: b batch, n image tokens (y x grid, row-major), t text tokens, v codebook, l layers, h heads.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from uncage_demo.backends.embedded.blocks import AttentionRequest
from uncage_demo.backends.embedded.detector import Detector
from uncage_demo.backends.embedded.tokenizer import ImageTokenizer
from uncage_demo.backends.embedded.transformer import SceneTransformer
from uncage_demo.browser.winograd import with_winograd

if TYPE_CHECKING:
    import onnx

OPSET = 20
# Smaller constants stay as they are: a conversion costs more than it saves.
_LEAST_VALUES = 64


class TransformerGraph(nn.Module):
    """The transformer with what guidance reads, written out from its weights: what the engine does to be fast has no place in a graph.

    Where the runtime has a choice of nodes, the graph takes those that WebAssembly computes fastest; see `_normed` and `_turned`.

    Args:
        model: the embedded transformer.
    """

    cos: Tensor
    sin: Tensor

    def __init__(self, model: SceneTransformer) -> None:
        super().__init__()
        self.model = model
        cos, sin = model.table
        t = model.text_length
        # Text has no position on the grid and turns by angle 0.
        self.register_buffer("cos", torch.cat([cos.new_ones(t, cos.shape[-1]), cos]))
        self.register_buffer("sin", torch.cat([sin.new_zeros(t, sin.shape[-1]), sin]))

    def forward(self, tokens: Tensor, text: Tensor, visible: Tensor, hidden: Tensor, mix: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and attention of one image that is read with b texts.

        Classifier-free guidance is linear, and so is the last layer: what is mixed before it is projected to the codebook once.

        Args:
            tokens: "1 n" int64, mask_id where masked.
            text: "b t" int64, 0 = padding. t may be less than the model's text length: padding at the end changes nothing.
            visible: "b t" bool, text tokens that may be attended to: no padding, and no word that is knocked out.
            hidden: "b n t" bool, True where an image token may not attend to a text token.
            mix: "b r" how much of each text's answer is in each of r answers; shares of one answer sum to 1.

        Returns:
            Logits "r n v", and the softmax attention "b l h t n" of every single-modal block from image to text tokens.
        """
        model = self.model
        n, t = tokens.shape[1], text.shape[1]
        ones = torch.ones_like(hidden[:, :, 0])
        of_text = torch.cat([visible, ones], dim=1)[:, None, :].expand(-1, t, -1)
        of_image = torch.cat([visible[:, None, :] & ~hidden, ones[:, None, :].expand(-1, n, -1)], dim=2)
        mask = _additive(torch.cat([of_text, of_image], dim=1))
        words = model.word_embedding(text) + model.word_position[:t]
        in_text = _additive((text != 0)[:, None])
        for block in model.text_blocks:
            words = _text_block(block, words, in_text)
        image = model.embed_codes(tokens)
        for block in model.multi_blocks:
            words, image = self._multi_block(block, words, image, mask)
        x = torch.cat([words, image], dim=1)
        columns = []
        for number, block in enumerate(model.single_blocks):
            x, shares = self._single_block(block, x, mask, t, last=number == len(model.single_blocks) - 1)
            columns.append(shares[..., -n:, :t].transpose(-1, -2))
        last = F.gelu(model.final(_normed(model.final_norm, x)), approximate="tanh")
        mixed = (mix.transpose(0, 1) @ last.flatten(1)).view(-1, n, last.shape[-1])
        return F.linear(mixed, model.output_weight(), model.output_bias), torch.stack(columns, dim=1)

    def _multi_block(self, block: Any, words: Tensor, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """New activations of both; the image's may be those of one row, before it met its texts."""
        b, t = words.shape[:2]
        read = block.image.qkv(_normed(block.image.norm1, image))
        joined = torch.cat([block.text.qkv(_normed(block.text.norm1, words)), read.expand(b, -1, -1)], dim=1)
        q, k, v = self._turned(block, joined, t)
        mixed = _merge(_shares(q, k, mask) @ v)
        words, image = words + block.text.out(mixed[:, :t]), image + block.image.out(mixed[:, t:])
        return words + block.text.mlp(_normed(block.text.norm2, words)), image + block.image.mlp(_normed(block.image.norm2, image))

    def _single_block(self, block: Any, x: Tensor, mask: Tensor, t: int, last: bool) -> tuple[Tensor, Tensor]:
        """New activations, of the image alone in the last block, and the softmax attention of the same rows."""
        width = x.shape[-1]
        joined, wide = block.into(_normed(block.norm, x)).split((3 * width, block.into.out_features - 3 * width), dim=-1)
        q, k, v = self._turned(block, joined, t)
        if last:
            x, q, wide, mask = x[:, t:], q[:, :, t:], wide[:, t:], mask[:, :, t:]
        shares = _shares(q, k, mask)
        return x + block.out(torch.cat([_merge(shares @ v), F.gelu(wide, approximate="tanh")], dim=-1)), shares

    def _turned(self, block: Any, joined: Tensor, t: int) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values "b h m e" of all three side by side "b m 3d"; queries and keys normalised and turned by position.

        The norms' weights and the scale of the scores stand in the tables of the turn, which the runtime computes once. One pass over both.
        """
        b, m, d = joined.shape
        heads = self.model.heads
        parts = joined.view(b, m, 3, heads, d // (3 * heads)).permute(2, 0, 3, 1, 4)
        weights = torch.stack([block.norm_q.weight * block.norm_q.weight.shape[0] ** -0.5, block.norm_k.weight])[:, None]
        first, second = weights.chunk(2, dim=-1)
        own = torch.cat([first * self.cos, second * self.cos], dim=-1)[:, None, None, self.model.text_length - t :]
        partner = torch.cat([-second * self.sin, first * self.sin], dim=-1)[:, None, None, self.model.text_length - t :]
        both = _standardised(parts[:2], block.norm_q.eps)
        low, high = both.chunk(2, dim=-1)
        q, k = (both * own + torch.cat([high, low], dim=-1) * partner).unbind(0)
        return q, k, parts[2]


def _standardised(x: Tensor, eps: float) -> Tensor:
    """The last axis with mean 0 and variance 1, written out: the runtime's own node takes twice as long in WebAssembly."""
    centred = x - x.mean(dim=-1, keepdim=True)
    return centred * ((centred * centred).mean(dim=-1, keepdim=True) + eps).rsqrt()


def _normed(norm: Any, x: Tensor) -> Tensor:
    """As the layer norm."""
    return _standardised(x, norm.eps) * norm.weight + norm.bias


def _text_block(block: Any, words: Tensor, mask: Tensor) -> Tensor:
    q, k, v = (_heads(part, block.heads) for part in block.qkv(_normed(block.norm1, words)).chunk(3, dim=-1))
    words = words + block.out(_merge(_shares(q * q.shape[-1] ** -0.5, k, mask) @ v))
    return words + block.mlp(_normed(block.norm2, words))


def _heads(x: Tensor, heads: int) -> Tensor:
    b, m, d = x.shape
    return x.view(b, m, heads, d // heads).transpose(1, 2)


def _merge(x: Tensor) -> Tensor:
    b, h, m, e = x.shape
    return x.transpose(1, 2).reshape(b, m, h * e)


def _additive(mask: Tensor) -> Tensor:
    """What is added to the scores "b h m m": nothing where "b m m" bool may be attended to."""
    return ((~mask).float() * -1e30)[:, None]


def _shares(q: Tensor, k: Tensor, mask: Tensor) -> Tensor:
    """The softmax attention "b h n m" of scaled queries, written out: a graph has no fused kernel, and its columns are wanted."""
    return (q @ k.transpose(-1, -2) + mask).softmax(dim=-1)


class DecoderGraph(nn.Module):
    """The picture decoder: pictures "b H W 3" uint8 of codes "b y x" int64.

    Args:
        tokenizer: whose decoder it is; a picture may differ from its own by a level.
        grid: (y, x).
    """

    def __init__(self, tokenizer: ImageTokenizer, grid: tuple[int, int]) -> None:
        super().__init__()
        self.tokenizer = with_winograd(tokenizer, *grid)

    def forward(self, codes: Tensor) -> Tensor:
        return _levels(self.tokenizer, codes)


def _levels(tokenizer: Any, codes: Tensor) -> Tensor:
    pictures = tokenizer.decode_values(tokenizer.code_values(codes)).clamp(0, 1)
    return (pictures.permute(0, 2, 3, 1) * 255).round().to(torch.uint8)


class DetectorGraph(nn.Module):
    """The detector: centre logits "b noun y x" and colour logits "b style y x" of pictures "b H W 3" uint8."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        return self.detector(pictures.permute(0, 3, 1, 2).float() / 255)


@dataclass(frozen=True)
class Graph:
    """One graph to write.

    Args:
        name: of the file, without its suffix.
        module: what is written.
        examples: inputs by name, with which it is traced and checked.
        dynamic: {input or output: {axis: name}}; axes of the same name are equal; an output that is not named has a batch.
        outputs: names in order.
        engine: what the engine's own module makes of the same inputs, which the graph is held against; None = `module` is the engine's.
    """

    name: str
    module: nn.Module
    examples: dict[str, Tensor]
    dynamic: dict[str, dict[int, str]]
    outputs: tuple[str, ...]
    engine: Callable[..., tuple[Tensor, ...]] | None = None


def graphs_of(parts: Mapping[str, nn.Module]) -> tuple[Graph, ...]:
    """The graphs of an embedded model's parts, with example inputs of its own sizes.

    Args:
        parts: "transformer", "tokenizer" and "detector" modules.
    """
    transformer: Any = parts["transformer"]
    tokenizer: Any = parts["tokenizer"]
    detector: Any = parts["detector"]
    y, x = transformer.grid
    n, t, v = y * x, transformer.text_length, transformer.codebook_size
    random = torch.Generator().manual_seed(0)
    tokens = torch.randint(0, v + 1, (1, n), generator=random)
    tokens[0, ::2] = v
    text = torch.zeros(2, t, dtype=torch.int64)
    text[:, :6] = torch.randint(1, transformer.word_embedding.num_embeddings, (2, 6), generator=random)
    hidden = torch.zeros(2, n, t, dtype=torch.bool)
    hidden[0, : n // 2, 2] = True
    codes = torch.randint(0, v, (2, y, x), generator=random)
    with torch.no_grad():
        pictures = _levels(tokenizer, codes)
    batch, read = {0: "batch"}, {0: "batch", 1: "text"}
    mix = torch.tensor([[3.0, 1.0], [-2.0, 0.0]])
    given = {"tokens": tokens, "text": text, "visible": text != 0, "hidden": hidden, "mix": mix}
    axes = {"text": read, "visible": read, "hidden": {0: "batch", 2: "text"}, "mix": {0: "batch", 1: "answers"}}
    axes |= {"logits": {0: "answers"}, "attention": {0: "batch", 3: "text"}}
    return (
        Graph("transformer", TransformerGraph(transformer), given, axes, ("logits", "attention"), _answers(transformer)),
        Graph(
            "decoder",
            DecoderGraph(tokenizer, (y, x)),
            {"codes": codes},
            {"codes": batch},
            ("pictures",),
            lambda codes: (_levels(tokenizer, codes),),
        ),
        Graph("detector", DetectorGraph(detector), {"pictures": pictures}, {"pictures": batch}, ("centre", "style")),
    )


def _answers(transformer: SceneTransformer) -> Callable[..., tuple[Tensor, ...]]:
    """What the engine's transformer says: logits "r n v" and attention "b l h t n" of an image that is read with b texts."""

    def answer(tokens: Tensor, text: Tensor, visible: Tensor, hidden: Tensor, mix: Tensor) -> tuple[Tensor, ...]:
        request = AttentionRequest(None, tuple(range(text.shape[1])), full=True)
        output = transformer(tokens, text, hidden=hidden, request=request)
        bias = transformer.output_bias
        return torch.einsum("br,bnv->rnv", mix, output.logits - bias) + bias, output.attention_full

    return answer


def written(graph: Graph) -> bytes:
    """A graph as the bytes of an .onnx file with its weights stored small (see `pack`).

    Raises:
        ImportError: without the packages of the extra "web".
    """
    import onnx

    buffer = io.BytesIO()
    with torch.no_grad(), warnings.catch_warnings():
        # The older exporter takes seconds where the newer one takes minutes, and says so each time.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            graph.module.eval(),
            tuple(graph.examples.values()),
            buffer,  # pyright: ignore[reportArgumentType] (the older exporter takes a buffer too)
            input_names=list(graph.examples),
            output_names=list(graph.outputs),
            dynamic_axes={**{name: {0: "batch"} for name in graph.outputs}, **graph.dynamic},
            opset_version=OPSET,
            dynamo=False,
            do_constant_folding=False,
        )
    model = onnx.load_from_string(buffer.getvalue())
    pack(model)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def pack(model: onnx.ModelProto) -> None:
    """Store float32 weights small, with what turns them back where the graph reads them. Changes the model in place; no value changes.

    Float16 where that holds the weights exactly, else whole numbers with a scale per row or column (see `as_whole_numbers`), else as they
    are. The runtime works the conversion out once, when it loads the graph.
    """
    from onnx import TensorProto, helper, numpy_helper

    nodes = []
    for weight in list(model.graph.initializer):
        values, name = numpy_helper.to_array(weight), weight.name
        if values.dtype != np.float32 or values.size < _LEAST_VALUES:
            continue
        if np.array_equal(values.astype(np.float16), values):
            weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
            nodes.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
        elif parts := as_whole_numbers(values):
            whole, scale = parts
            weight.CopyFrom(numpy_helper.from_array(whole, f"{name}.whole"))
            model.graph.initializer.append(numpy_helper.from_array(scale, f"{name}.scale"))
            nodes.append(helper.make_node("Cast", [f"{name}.whole"], [f"{name}.unscaled"], to=TensorProto.FLOAT))
            nodes.append(helper.make_node("Mul", [f"{name}.unscaled", f"{name}.scale"], [name]))
    nodes += model.graph.node
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    del model.graph.value_info[:]
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]


def as_whole_numbers(values: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """A matrix as whole numbers times a scale per row, or per column where it was transposed; None where it is not exactly that.

    Args:
        values: "r c" float32, as weights are that were stored at a quarter of their size (see `backends.embedded.files.compacted`).

    Returns:
        "r c" int8 and "r 1" or "1 c" float32, whose product is the matrix bit for bit.
    """
    if values.ndim != 2:
        return None
    for axis in (1, 0):
        scale = np.abs(values).max(axis=axis, keepdims=True) / np.float32(127)
        scale[scale == 0] = 1
        whole = np.round(values / scale)
        if np.array_equal(whole * scale, values):
            return whole.astype(np.int8), scale
    return None
