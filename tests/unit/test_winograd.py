"""Convolutions by Winograd's transform are the convolutions."""

import pytest
import torch
from torch import nn

from uncage_demo.backends.embedded.tokenizer import ImageTokenizer
from uncage_demo.browser.graphs import DecoderGraph
from uncage_demo.browser.winograd import WinogradConv, with_winograd


@pytest.mark.parametrize("bias", [True, False])
def test_the_same_numbers(bias):
    random = torch.Generator().manual_seed(3)
    conv = nn.Conv2d(40, 24, 3, padding=1, bias=bias)
    x = torch.randn(2, 40, 6, 15, generator=random)
    torch.testing.assert_close(WinogradConv(conv)(x), conv(x), atol=1e-5, rtol=1e-4)


def test_the_decoder_draws_the_same_picture_and_the_model_stays_as_it_is():
    torch.manual_seed(0)
    tokenizer = ImageTokenizer()
    before = [type(module) for module in tokenizer.modules()]
    graph = DecoderGraph(tokenizer, (6, 9))
    replaced = [module for module in graph.modules() if isinstance(module, WinogradConv)]
    assert len(replaced) == 11  # all but the first, which has four channels, and those of 1 x 1
    assert [type(module) for module in tokenizer.modules()] == before
    codes = torch.randint(0, tokenizer.fsq.codebook_size, (2, 6, 9), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        made, wanted = graph(codes), (tokenizer.decode(codes).permute(0, 2, 3, 1) * 255).round()
    difference = (made.float() - wanted).abs()
    assert difference.max() <= 1
    assert (difference > 0).float().mean() < 1e-3


def test_sides_that_three_does_not_divide_stay():
    module = nn.Sequential(nn.Conv2d(64, 64, 3, padding=1))
    assert with_winograd(module, 8, 9) is module
    assert isinstance(with_winograd(module, 9, 9)[0], WinogradConv)  # type: ignore[index]
    assert isinstance(module[0], nn.Conv2d)


@pytest.mark.parametrize(
    "other",
    [{"kernel_size": 1}, {"kernel_size": 3, "padding": 1, "stride": 2}, {"kernel_size": 3}, {"kernel_size": 3, "padding": 1, "groups": 2}],
)
def test_other_convolutions_stay(other):
    conv = nn.Conv2d(64, 64, **other)
    assert with_winograd(nn.Sequential(conv), 9, 9)[0] is conv  # type: ignore[index]
