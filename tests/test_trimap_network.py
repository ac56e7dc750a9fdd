"""The T-Net's network: classes come at a quarter of the size, nobody means background, and it is opened like any other model."""

import pytest
import torch
from torch.nn import functional
from transformers import AutoModelForSemanticSegmentation

from shm.segmentation import open_network
from shm.trimap_network import SOMEBODY, STRENGTH, Presence, TrimapNetwork, TrimapNetworkConfig


@pytest.fixture
def network() -> TrimapNetwork:
    torch.manual_seed(0)
    names = {0: "background", 1: "person", 2: "unknown"}
    labels = {name: index for index, name in names.items()}
    shape = {"rank": 8, "members": 2, "eighth_channels": 8, "depth_multiplier": 0.35}
    network = TrimapNetwork(TrimapNetworkConfig(**shape, id2label=names, label2id=labels))
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d):  # transformers' own weights begin so small that nothing reaches the logits
            torch.nn.init.kaiming_normal_(layer.weight)
    network.add_presence()
    return network.eval()


@torch.no_grad()
def waken(presence: Presence) -> None:
    """Let what a new presence sees count."""
    for judge in presence.judges:
        torch.nn.init.normal_(judge[-1].weight)


@torch.no_grad()
def test_classes_come_at_a_quarter_of_the_size_from_the_semantic_branch(network) -> None:
    image = torch.randn(1, 3, 64, 96)
    logits = network(image).logits
    assert logits.shape == (1, 3, 16, 24) and logits.std() > 0.1
    blocks = functional.interpolate(functional.avg_pool2d(logits, 2), scale_factor=2)
    assert (logits - blocks).std() > 0.1 * logits.std()  # four pixels of a square differ
    network.reduce.weight.zero_()
    assert (network(image).logits - logits).std() > 0.1 * logits.std()


@torch.no_grad()
def test_where_nobody_is_there_the_background_rises_everywhere(network) -> None:
    image = torch.randn(2, 3, 64, 64)
    before = network(image).logits
    for judge in network.presence.judges:
        judge[-1].bias.fill_(-9.0)
    after = network(image).logits
    torch.testing.assert_close(after[:, 1:], before[:, 1:])
    rise = (after - before)[:, 0]
    torch.testing.assert_close(rise, torch.full_like(rise, (9.0 + SOMEBODY) * STRENGTH), atol=0.1 * STRENGTH, rtol=0)


@torch.no_grad()
def test_presence_is_a_matter_of_the_whole_picture() -> None:
    torch.manual_seed(0)
    presence, features = Presence(16, channels=8, members=3), torch.zeros(2, 16, 6, 7)
    torch.testing.assert_close(presence(torch.randn(2, 16, 6, 7)), torch.full((2, 1, 1, 1), 3.0))
    waken(presence)
    empty = presence(features)
    features[0, :, 2, 3], features[1, :, 3, 4] = 9.0, 9.0
    said = presence(features)
    torch.testing.assert_close(said[0], said[1])  # wherever it is
    assert (said - empty).abs().min() > 1e-4  # a single place is enough


@torch.no_grad()
def test_members_of_a_presence_judge_apart_and_their_mean_counts() -> None:
    torch.manual_seed(0)
    presence, features = Presence(16, channels=8, members=3), torch.randn(2, 16, 6, 7)
    waken(presence)
    before = presence.judge(features)
    torch.testing.assert_close(presence(features), before.mean(dim=1).view(2, 1, 1, 1))
    presence.signs[2].weight[8:16] *= -1  # the signs of the second
    changed = (presence.judge(features) != before).all(dim=0)
    assert before.shape == (2, 3) and changed.tolist() == [False, True, False]


def test_what_a_presence_learns_does_not_change_what_it_sees(network) -> None:
    waken(network.presence)
    network(torch.randn(1, 3, 64, 64)).presence.sum().backward()
    assert network.presence.signs[0].weight.grad.abs().sum() > 0 and network.reduce.weight.grad is None


def test_the_automatic_class_opens_what_was_saved(network, tmp_path) -> None:
    network.save_pretrained(tmp_path)
    image = torch.randn(1, 3, 64, 64)
    for opened in (open_network(str(tmp_path)), AutoModelForSemanticSegmentation.from_pretrained(tmp_path)):
        assert type(opened) is TrimapNetwork and opened.config.eighth_channels == 8
        with torch.no_grad():
            torch.testing.assert_close(opened.eval()(image).logits, network(image).logits)
