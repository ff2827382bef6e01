"""The embedded model as ONNX graphs: what goes in, what comes out, and weights stored in half precision.

Three graphs: the transformer (logits and every layer's attention to the text), the picture decoder, the detector. Weights are stored as
float16 and turned to float32 when the graph is loaded; all arithmetic is float32, as in the engine.
Shapes: b batch, n image tokens (y x grid, row-major), t text tokens, v codebook, l layers, h heads.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from uncage_demo.backends.attention import broadcast_mask
from uncage_demo.backends.embedded.detector import Detector
from uncage_demo.backends.embedded.tokenizer import ImageTokenizer
from uncage_demo.backends.embedded.transformer import SceneTransformer, _heads, _merge, _rotate, table_after_text

if TYPE_CHECKING:
    import onnx

OPSET = 20
# Smaller constants stay as they are: a conversion costs more than it saves.
_LEAST_VALUES = 64


class TransformerGraph(nn.Module):
    """The transformer with what guidance reads.

    Args:
        model: the embedded transformer.
    """

    def __init__(self, model: SceneTransformer) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor, text: Tensor, visible: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and attention of samples that share a forward.

        Args:
            tokens: "b n" int64, mask_id where masked.
            text: "b t" int64, 0 = padding.
            visible: "b t" bool, text tokens that may be attended to: no padding, and no word that is knocked out.
            hidden: "b n t" bool, True where an image token may not attend to a text token.

        Returns:
            Logits "b n v", and the softmax attention "b l h t n" of every single-modal block from image to text tokens.
        """
        model = self.model
        t = text.shape[1]
        words, read = model.read_text(text)
        image = model.embed_codes(tokens)
        ones = torch.ones_like(tokens, dtype=torch.bool)
        of_text = torch.cat([visible, ones], dim=1)[:, None, :].expand(-1, t, -1)
        of_image = torch.cat([visible[:, None, :] & ~hidden, ones[:, None, :].expand(-1, tokens.shape[1], -1)], dim=2)
        key_mask = torch.cat([of_text, of_image], dim=1)
        mask, table = broadcast_mask(key_mask), table_after_text(model.table, t)
        for number, block in enumerate(model.multi_blocks):
            words, image = block(words, image, mask, table, None if number else read)
        x = torch.cat([words, image], dim=1)
        columns = []
        for block in model.single_blocks:
            q, k, v, wide = block.into(block.norm(x)).split(block.split, dim=-1)  # type: ignore[operator]
            q, k, v = (_heads(part, model.heads) for part in (q, k, v))
            q, k = _rotate(block.norm_q(q), table), _rotate(block.norm_k(k), table)  # type: ignore[operator]
            scores = (q @ k.transpose(-1, -2)) * q.shape[-1] ** -0.5
            shares = scores.masked_fill(~mask, -1e30).softmax(dim=-1)
            x = x + block.out(torch.cat([_merge(shares @ v), F.gelu(wide, approximate="tanh")], dim=-1))  # type: ignore[operator]
            columns.append(shares[:, :, t:, :t].transpose(-1, -2))
        last = F.gelu(model.final(model.final_norm(x[:, t:])), approximate="tanh")
        return F.linear(last, model.output_weight(), model.output_bias), torch.stack(columns, dim=1)


class DecoderGraph(nn.Module):
    """The picture decoder: pictures "b H W 3" uint8 of codes "b y x" int64."""

    def __init__(self, tokenizer: ImageTokenizer) -> None:
        super().__init__()
        self.tokenizer = tokenizer

    def forward(self, codes: Tensor) -> Tensor:
        pictures = self.tokenizer.decode_values(self.tokenizer.code_values(codes)).clamp(0, 1)
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
        dynamic: {input: {axis: name}}; axes of the same name are equal.
        outputs: names in order.
    """

    name: str
    module: nn.Module
    examples: dict[str, Tensor]
    dynamic: dict[str, dict[int, str]]
    outputs: tuple[str, ...]


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
    tokens = torch.randint(0, v + 1, (2, n), generator=random)
    tokens[1, ::2] = v
    text = torch.zeros(2, t, dtype=torch.int64)
    text[:, :6] = torch.randint(1, transformer.word_embedding.num_embeddings, (2, 6), generator=random)
    hidden = torch.zeros(2, n, t, dtype=torch.bool)
    hidden[0, : n // 2, 2] = True
    codes = torch.randint(0, v, (2, y, x), generator=random)
    with torch.no_grad():
        pictures = DecoderGraph(tokenizer)(codes)
    batch = {0: "batch"}
    given = {"tokens": tokens, "text": text, "visible": text != 0, "hidden": hidden}
    return (
        Graph("transformer", TransformerGraph(transformer), given, dict.fromkeys(given, batch), ("logits", "attention")),
        Graph("decoder", DecoderGraph(tokenizer), {"codes": codes}, {"codes": {0: "batch", 1: "rows", 2: "columns"}}, ("pictures",)),
        Graph("detector", DetectorGraph(detector), {"pictures": pictures}, {"pictures": batch}, ("centre", "style")),
    )


def written(graph: Graph) -> bytes:
    """A graph as the bytes of an .onnx file with its weights in half precision.

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
            buffer,
            input_names=list(graph.examples),
            output_names=list(graph.outputs),
            dynamic_axes={**graph.dynamic, **{name: {0: "batch"} for name in graph.outputs}},
            opset_version=OPSET,
            dynamo=False,
            do_constant_folding=False,
        )
    model = onnx.load_from_string(buffer.getvalue())
    halve(model)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def halve(model: onnx.ModelProto) -> None:
    """Store float32 weights as float16, with a conversion back where the graph reads them. Changes the model in place."""
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for weight in model.graph.initializer:
        values = numpy_helper.to_array(weight)
        if values.dtype != np.float32 or values.size < _LEAST_VALUES or not np.array_equal(values.astype(np.float16), values):
            continue  # what half precision does not hold exactly (angles of the positions) stays as it is
        name = weight.name
        weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
        casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    del model.graph.value_info[:]
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
