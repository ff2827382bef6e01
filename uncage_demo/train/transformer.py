"""Stage 2: the masked generative transformer, trained on scenes stamped in token space.

Source: masking by arccos (2202.04200); condition dropout for classifier-free guidance (2207.12598).
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from uncage_demo.backends.ages import AGES, age_file
from uncage_demo.backends.embedded import vocab
from uncage_demo.backends.embedded.transformer import SceneTransformer
from uncage_demo.files import replacing
from uncage_demo.train import loop
from uncage_demo.train.binding import COLOR_IDS, head_table
from uncage_demo.train.captions import OPPOSITE, PLACE_OWNER
from uncage_demo.train.export import save_compact
from uncage_demo.train.optimizers import learning_rate, make_optimizers
from uncage_demo.train.scenes import Mix, sample_scene
from uncage_demo.train.token_scenes import TokenBatch, TokenScenes
from uncage_demo.train.worlds import CLEAN, World

CONDITION_DROPOUT = 0.1
BACKGROUND_WEIGHT = 0.25
EVAL_SEED = 990_002
# Of scenes whose caption says where objects are, the share that is masked as a whole: what a position says matters while nothing is
# drawn yet, and with the usual shares masked it is not learnt.
BLANK_FRAC = 0.3
POSITION_IDS = tuple(vocab.WORD_ID[name] for name in vocab.POSITIONS)
# Owner of words of which the supervised attention is told nothing: what they draw is neither rewarded nor taken from the others.
UNTOLD = -3
NULL_TEXT = (vocab.START, vocab.END, *[vocab.PAD] * (vocab.TEXT_LENGTH - 2))


def scene_weights(fraction: float) -> tuple[float, float, float]:
    """How often scenes have one, two, three objects: single objects first, then more of the hard ones.

    Args:
        fraction: done part of the training budget, 0..1.
    """
    ramp = min(1.0, fraction / 0.3)
    return 0.7 - 0.5 * ramp, 0.25 + 0.3 * ramp, 0.05 + 0.2 * ramp


def mask_tokens(tokens: Tensor, mask_id: int, rng: np.random.Generator, blank: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Masked tokens "b n" and the mask "b n" bool; the share masked is cos(pi/2 u) with u uniform (2202.04200).

    Args:
        tokens: "b n".
        mask_id: id of a masked token.
        rng: the source of randomness.
        blank: "b" bool; of these samples BLANK_FRAC are masked as a whole.
    """
    b, n = tokens.shape
    share = np.cos(np.pi / 2 * rng.random(b))
    if blank is not None:
        share[blank.numpy() & (rng.random(b) < BLANK_FRAC)] = 1.0
    count = np.clip(np.rint(share * n), 1, n)
    rank = rng.random((b, n)).argsort(axis=1).argsort(axis=1)
    masked = torch.from_numpy(rank < count[:, None])
    return torch.where(masked, mask_id, tokens), masked


def grounding_loss(text_logits: Tensor, batch: TokenBatch, conditioned: Tensor) -> Tensor:
    """Cross-entropy that makes the grounded heads readable.

    An object's cells should attend to the words of that object (noun and colour alike), background cells to the word of the place, or to
    the start token where the caption names none.

    Args:
        text_logits: "l b n t" attention logits of the grounded heads.
        batch: with owners of cells and words; words of UNTOLD owners may draw any attention.
        conditioned: "b" bool; samples whose caption was dropped do not count.
    """
    visible = ((batch.text_ids != vocab.PAD) & (batch.word_owner != UNTOLD))[None, :, None]
    log_share = text_logits.masked_fill(~visible, -1e4).log_softmax(-1)
    own = (batch.owner[:, :, None] == batch.word_owner[:, None]) & (batch.owner[:, :, None] >= 0)
    place = batch.word_owner == PLACE_OWNER
    start = torch.zeros_like(place)
    start[:, 0] = True
    around = torch.where(place.any(dim=1, keepdim=True), place, start)
    target = torch.where((batch.owner >= 0)[..., None], own, around[:, None]).float()
    target = target / target.sum(-1, keepdim=True).clamp(min=1)
    weight = torch.where(batch.owner >= 0, 1.0, BACKGROUND_WEIGHT) * conditioned[:, None]
    return -(target * log_share).sum(-1).mul(weight).sum() / weight.sum().clamp(min=1) / text_logits.shape[0]


def train(
    scenes: TokenScenes,
    folder: Path,
    *,
    budget_s: float,
    seed: int = 0,
    batch: int = 48,
    peak: float = 2e-3,
    device: torch.device | str = "cpu",
    max_steps: int | None = None,
    model: SceneTransformer | None = None,
    show: Callable[[loop.Progress], dict[str, float]] | None = None,
    curriculum: bool = True,
    world: World = CLEAN,
) -> SceneTransformer:
    """Train the generator for a time budget; returns it.

    Args:
        scenes: the source of examples.
        folder: checkpoints and log.
        budget_s: seconds of training (over all resumed runs).
        seed: initial weights, data order, masks.
        batch: scenes a step.
        peak: highest learning rate.
        device: where to train.
        max_steps: stop after this many steps instead of a time.
        model: what to train (in place); None = the shipped architecture.
        curriculum: begin with single objects; not for weights that already draw.
        world: how scenes, captions and supervised attention come about.
        show: called at every report with the progress; its figures join the report (see pictures.GeneratedPictures).
    """
    device = torch.device(device)
    torch.manual_seed(seed)
    network = SceneTransformer(len(vocab.WORDS), vocab.TEXT_LENGTH) if model is None else model
    network = network.to(device).train()
    optimizers = make_optimizers(network, peak, device)
    null_text = torch.tensor(NULL_TEXT)

    def make_batch(step: int, fraction: float) -> tuple[TokenBatch, Tensor, Tensor, Tensor]:
        rng = loop.batch_rng(seed, "transformer", step)
        examples = scenes.batch(rng, batch, scene_weights(fraction if curriculum else 1.0), world)
        if not world.grounds_colors:
            examples.word_owner[torch.isin(examples.text_ids, COLOR_IDS)] = UNTOLD
        positioned = torch.isin(examples.text_ids, torch.tensor(POSITION_IDS)).any(dim=1)
        masked_tokens, masked = mask_tokens(examples.tokens, network.mask_id, rng, positioned)
        conditioned = torch.from_numpy(rng.random(batch) >= CONDITION_DROPOUT)
        examples.text_ids = torch.where(conditioned[:, None], examples.text_ids, null_text)
        return examples, masked_tokens, masked, conditioned

    def train_step(step: int, fraction: float, data: tuple[TokenBatch, Tensor, Tensor, Tensor]) -> tuple[dict[str, float], int]:
        examples, masked_tokens, masked, conditioned = data
        examples = TokenBatch(*(part.to(device) for part in vars(examples).values()))
        masked_tokens, masked, conditioned = masked_tokens.to(device), masked.to(device), conditioned.to(device)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(peak, step, fraction)
        with loop.autocast(device), loop.plain_attention(device):
            output = network(masked_tokens, examples.text_ids, return_text_logits=True)
        chosen, owners = output.logits[masked].float(), examples.owner[masked]
        nll = F.cross_entropy(chosen, examples.tokens[masked], reduction="none")
        weight = torch.where(owners >= 0, 1.0, BACKGROUND_WEIGHT)
        loss = (nll * weight).sum() / weight.sum()
        assert output.text_logits is not None
        grounding = grounding_loss(output.text_logits, examples, conditioned)
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        (loss + world.grounding_weight * grounding).backward()
        norm = nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        objects = nll.detach()[owners >= 0].mean().nan_to_num().item()
        return {"loss": loss.item(), "object_nll": objects, "grounding": grounding.item(), "grad_norm": float(norm)}, batch

    loop.run(
        "transformer",
        folder,
        modules={"transformer": network},
        optimizers=optimizers,
        make_batch=make_batch,
        train_step=train_step,
        device=device,
        budget_s=budget_s,
        max_steps=max_steps,
        marks=AGES,
        passed=lambda age, progress: save_age(network, folder, age, progress),
        report=lambda progress: evaluate(network, scenes) | (show(progress) if show is not None else {}),
    )
    return network.eval()


def save_age(network: SceneTransformer, folder: Path, age: Fraction, progress: loop.Progress) -> None:
    """Keep the weights as they are now (half precision), with what they have seen in the file's metadata."""
    path = age_file(folder, age)
    path.parent.mkdir(parents=True, exist_ok=True)
    seen = {"images": str(progress.images), "steps": str(progress.step), "seconds_s": str(round(progress.seconds_s))}
    with replacing(path) as place:
        save_compact(network, place, seen)


@torch.no_grad()
def evaluate(model: SceneTransformer, scenes: TokenScenes, count: int = 192, seed: int = EVAL_SEED) -> dict[str, float]:
    """Held-out figures on unseen two-object scenes with half of the cells masked.

    Returns:
        Cross-entropy of masked object and background cells (nats), the best head's area under the curve for nouns (see binding), and
        `position_sense`.
    """
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    rng = np.random.default_rng(seed)
    examples = scenes.batch(rng, count, (0.0, 1.0, 0.0))
    masked = torch.from_numpy(rng.random(examples.tokens.shape).argsort(axis=1).argsort(axis=1) < examples.tokens.shape[1] // 2)
    tokens = torch.where(masked, model.mask_id, examples.tokens)
    nll = []
    for part in torch.arange(count).split(48):
        with loop.autocast(device):
            output = model(tokens[part].to(device), examples.text_ids[part].to(device))
        nll.append(F.cross_entropy(output.logits.float().transpose(1, 2).cpu(), examples.tokens[part], reduction="none"))
    loss = torch.cat(nll)
    figures = {
        "eval_object_nll": float(loss[masked & (examples.owner >= 0)].mean()),
        "eval_background_nll": float(loss[masked & (examples.owner < 0)].mean()),
        "eval_noun_auc": max(row["noun_auc"] for row in head_table(model, scenes, 64, seed)),
        "eval_position_frac": position_sense(model, scenes, 64, seed),
    }
    model.train(was_training)
    return figures


@torch.no_grad()
def position_sense(model: SceneTransformer, scenes: TokenScenes, count: int, seed: int = EVAL_SEED) -> float:
    """Share 0..1 of `count` unseen scenes that a blank picture finds likelier by their own caption than by one with opposite positions.

    0.5 is chance. Every caption says where one or two objects are; the likelihood is that of the objects' cells.
    """
    rng, opposite = np.random.default_rng(seed), torch.arange(len(vocab.WORDS))
    for name, other in OPPOSITE.items():
        opposite[vocab.WORD_ID[name]] = vocab.WORD_ID[other]
    chosen = []
    while len(chosen) < count:
        scene = sample_scene(rng, (0.3, 0.7, 0.0), Mix(0.0, 1.0, 0.0))
        if set(vocab.tokenize(scene.caption)[1]) & set(POSITION_IDS):
            chosen.append(scene)
    examples, device = scenes.collate(chosen), next(model.parameters()).device
    blank = torch.full_like(examples.tokens, model.mask_id).to(device)
    own, other = (
        F.cross_entropy(model(blank, text.to(device)).logits.float().transpose(1, 2).cpu(), examples.tokens, reduction="none")
        .where(examples.owner >= 0, 0)
        .sum(dim=1)
        for text in (examples.text_ids, opposite[examples.text_ids])
    )
    return float(((own < other).float() + (own == other).float() / 2).mean())
