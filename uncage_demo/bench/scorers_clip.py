"""CLIP and BLIP scores of pictures, after the Attend-and-Excite protocol; transformers is imported only when models are loaded.

Two modes. "paper" follows the published evaluation to the letter, with its two known defects: doubled articles are removed by
substring replacement, which eats letters of words that end in "a" ("an orca and a dolphin" -> "an orcand a dolphin"), and the
minimum over objects looks at the first two parts of the prompt only. "corrected" (the default) removes an article only where
template and prompt both bring one, and takes the minimum over every subject.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from uncage_demo.backends.large.download import downloads_allowed
from uncage_demo.types import Prompt

CLIP_MODEL, BLIP_MODEL = "openai/clip-vit-base-patch16", "Salesforce/blip-image-captioning-base"
MODES = ("corrected", "paper")

# The 80 ImageNet prompt templates of CLIP (2103.00020): 38 that come with "a" and with "the", and four that do not. "@" is the article.
_PAIRED = (
    "@ {} in a video game.",
    "@ cartoon {}.",
    "@ embroidered {}.",
    "@ origami {}.",
    "@ plastic {}.",
    "@ plushie {}.",
    "@ toy {}.",
    *(f"a {kind} photo of @ {{}}." for kind in ("bad", "black and white", "blurry", "bright", "close-up", "cropped", "dark", "good")),
    *(f"a {kind} photo of @ {{}}." for kind in ("jpeg corrupted", "low resolution", "pixelated")),
    *(f"a photo of @ {kind} {{}}." for kind in ("clean", "cool", "dirty", "hard to see", "large", "nice", "small", "weird")),
    *(f"{kind} of @ {{}}." for kind in ("a doodle", "a drawing", "a painting", "a photo", "a rendering", "a rendition")),
    *(f"{kind} of @ {{}}." for kind in ("a sculpture", "a sketch", "a tattoo", "art", "graffiti", "itap")),
)
TEMPLATES = (
    *(template.replace("@", article) for template in _PAIRED for article in ("a", "the")),
    "a photo of many {}.",
    "a photo of my {}.",
    "a photo of one {}.",
    "itap of my {}.",
)
_LEADING_ARTICLE = re.compile(r"^(?:a|an|the)\s", re.IGNORECASE)
_TEMPLATE_ARTICLE = re.compile(r"\b(?:a|the) \{\}")


def fill_templates(text: str, mode: str = "corrected") -> list[str]:
    """The 80 templates filled with a text, without doubled articles.

    Args:
        text: a prompt, a part of one, or a caption.
        mode: "corrected" or "paper" (see the module's docstring).

    Source: 2301.13826, its published evaluation (facts only).
    """
    _check(mode)
    if mode == "paper":
        return [template.format(text).replace("a a", "a").replace("the a", "a") for template in TEMPLATES]
    bare = "{}" if _LEADING_ARTICLE.match(text) else None
    return [(_TEMPLATE_ARTICLE.sub(bare, template) if bare else template).replace("{}", text) for template in TEMPLATES]


def prompt_parts(prompt: Prompt, mode: str = "corrected") -> list[str]:
    """The texts that the minimum-object score compares a picture with.

    Returns:
        "paper": the first two parts of the text around " and " if it is there, else around " with "; the whole text where neither is
        (the published evaluation leaves such prompts out).
        "corrected": one text a subject, with its attributes and article as typed; the whole text where no subject was found.
    """
    _check(mode)
    text = prompt.text
    if mode == "paper":
        return text.split(" and " if " and " in text else " with ")[:2]
    parts = []
    for subject in prompt.subjects:
        words = sorted({w for group in subject.groups for w in group})
        if words[0] > 0 and prompt.words[words[0] - 1].text.lower() in ("a", "an", "the"):
            words.insert(0, words[0] - 1)
        parts.append(" ".join(prompt.words[w].text for w in words))
    return parts or [text]


class ClipScorer:
    """CLIP similarities (times 100), and BLIP's caption against the prompt.

    Args:
        embed_images: pictures "b H W 3" uint8 -> features "b d", any length.
        embed_texts: list of texts -> features "k d", any length.
        caption: pictures -> list of captions; None leaves the text-text score out.
        mode: "corrected" or "paper".
        version: names the models, for the result lines.
    """

    def __init__(
        self,
        embed_images: Callable[[np.ndarray], torch.Tensor],
        embed_texts: Callable[[Sequence[str]], torch.Tensor],
        caption: Callable[[np.ndarray], list[str]] | None = None,
        *,
        mode: str = "corrected",
        version: str = "",
    ) -> None:
        _check(mode)
        self._embed_images, self._embed_texts, self._caption = embed_images, embed_texts, caption
        self.mode = mode
        self.name = f"clip-{mode}"
        self._version = f"{self.name} {version}".strip()
        self._texts: dict[str, torch.Tensor] = {}

    def text_feature(self, text: str) -> torch.Tensor:
        """Unit feature "d" of a text: the normalised mean of its normalised features in all templates. Cached."""
        if text not in self._texts:
            features = _unit(self._embed_texts(fill_templates(text, self.mode)).float())
            self._texts[text] = _unit(features.mean(dim=0))
        return self._texts[text]

    def score(self, images: np.ndarray, prompts: Sequence[Prompt]) -> list[dict[str, Any]]:
        """For each picture: text_image, min_object, and with captions text_text (cosines times 100)."""
        features = _unit(self._embed_images(images).float())
        captions = self._caption(images) if self._caption else [None] * len(prompts)
        lines = []
        for feature, prompt, caption in zip(features, prompts, captions, strict=True):
            whole = self.text_feature(prompt.text)
            parts = torch.stack([self.text_feature(part) for part in prompt_parts(prompt, self.mode)])
            numbers = {"text_image": float(feature @ whole), "min_object": float((parts @ feature).min())}
            extra = {}
            if caption is not None:
                # Captions vary without end, so they are not cached.
                embedded = _unit(_unit(self._embed_texts(fill_templates(caption, self.mode)).float()).mean(dim=0))
                numbers["text_text"] = float(embedded @ whole)
                extra = {"caption": caption}
            lines.append({"metrics": {k: round(100 * v, 4) for k, v in numbers.items()}, "scorer": self._version, **extra})
        return lines


def load_clip_scorer(
    mode: str = "corrected",
    *,
    captions: bool = True,
    device: str | torch.device = "cpu",
    clip_model: str = CLIP_MODEL,
    blip_model: str = BLIP_MODEL,
) -> ClipScorer:
    """A scorer with pretrained weights, from a folder or the local cache of transformers (downloaded where the network allows it).

    Args:
        mode: "corrected" or "paper".
        captions: also load BLIP for the text-text score.
        device: where the models run.
        clip_model, blip_model: names or folders.

    Raises:
        ValueError: when the weights are neither here nor reachable, or UNCAGE_DOWNLOAD=0 forbids fetching them; naming them.
    """
    from transformers import BlipForConditionalGeneration, BlipProcessor, CLIPModel, CLIPProcessor

    clip: Any = _pretrained(CLIPModel, clip_model)
    processor: Any = _pretrained(CLIPProcessor, clip_model)
    caption = None
    if captions:
        blip: Any = _pretrained(BlipForConditionalGeneration, blip_model)
        caption = blip_captioner(blip.to(device).eval(), _pretrained(BlipProcessor, blip_model))
    embed_images, embed_texts = clip_embedders(clip.to(device).eval(), processor)
    version = clip_model.split("/")[-1] + (f" + {blip_model.split('/')[-1]}" if captions else "")
    return ClipScorer(embed_images, embed_texts, caption, mode=mode, version=version)


def _pretrained(kind: Any, name: str) -> Any:
    """What `kind` makes of a folder or of what the hub has under a name."""
    allowed = downloads_allowed()
    try:
        return kind.from_pretrained(name, local_files_only=not allowed)
    except OSError:
        why = "the hub cannot be reached" if allowed else "UNCAGE_DOWNLOAD=0 forbids fetching it"
        raise ValueError(
            f"scorer: {name} is not (completely) on this machine, and {why}. Draw with --scorer none --images DIR, and judge with "
            "bench-score where it is"
        ) from None


def clip_embedders(model: Any, processor: Any) -> tuple[Callable[[np.ndarray], torch.Tensor], Callable[[Sequence[str]], torch.Tensor]]:
    """Functions (pictures -> features, texts -> features) of a transformers CLIPModel and its processor; on the model's device."""

    @torch.inference_mode()
    def images(pictures: np.ndarray) -> torch.Tensor:
        inputs = processor(images=list(pictures), return_tensors="pt")
        return _projected(model.get_image_features(pixel_values=inputs["pixel_values"].to(model.device))).cpu()

    @torch.inference_mode()
    def texts(strings: Sequence[str]) -> torch.Tensor:
        inputs = processor(text=list(strings), return_tensors="pt", padding=True, truncation=True)
        output = model.get_text_features(
            input_ids=inputs["input_ids"].to(model.device), attention_mask=inputs["attention_mask"].to(model.device)
        )
        return _projected(output).cpu()

    return images, texts


def blip_captioner(model: Any, processor: Any) -> Callable[[np.ndarray], list[str]]:
    """Function pictures -> captions (beam search of 3, the captioning default, so captions repeat exactly)."""

    @torch.inference_mode()
    def captions(pictures: np.ndarray) -> list[str]:
        inputs = processor(images=list(pictures), return_tensors="pt")
        ids = model.generate(
            pixel_values=inputs["pixel_values"].to(model.device), num_beams=3, max_length=30, min_length=5, do_sample=False
        )
        return [text.strip() for text in processor.batch_decode(ids, skip_special_tokens=True)]

    return captions


def _projected(output: Any) -> torch.Tensor:
    """The features, whether the library's version returns them bare or inside an output object."""
    return output if isinstance(output, torch.Tensor) else output.pooler_output


def _unit(features: torch.Tensor) -> torch.Tensor:
    return features / features.norm(dim=-1, keepdim=True)


def _check(mode: str) -> None:
    if mode not in MODES:
        raise ValueError(f"mode={mode!r}: choose one of {', '.join(MODES)}")
