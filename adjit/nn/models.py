"""ResNet (He, Zhang, Ren, Sun 2015), with torchvision's names and shapes; no weights come along."""

from __future__ import annotations

from typing import Any

from . import init
from .containers import Sequential
from .convolutions import Conv2d
from .layers import Linear
from .module import Module
from .named_layers import ReLU
from .norm_layers import BatchNorm2d
from .pool_layers import AdaptiveAvgPool2d, MaxPool2d


def _conv3x3(before: int, after: int, stride: int = 1) -> Conv2d:
    return Conv2d(before, after, 3, stride, 1, bias=False)


class BasicBlock(Module):
    """Two convolutions and a way around them."""

    expansion = 1

    def __init__(
        self, inplanes: int, planes: int, stride: int = 1, downsample: Module | None = None
    ) -> None:
        super().__init__()
        self.conv1 = _conv3x3(inplanes, planes, stride)
        self.bn1 = BatchNorm2d(planes)
        self.relu = ReLU(inplace=True)
        self.conv2 = _conv3x3(planes, planes)
        self.bn2 = BatchNorm2d(planes)
        self.downsample = downsample
        self.stride = stride

    def forward(self, x: Any) -> Any:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        around = x if self.downsample is None else self.downsample(x)
        return self.relu(out + around)


class Bottleneck(Module):
    """A convolution between two that change the number of channels, and a way around them."""

    expansion = 4

    def __init__(
        self, inplanes: int, planes: int, stride: int = 1, downsample: Module | None = None
    ) -> None:
        super().__init__()
        self.conv1 = Conv2d(inplanes, planes, 1, bias=False)
        self.bn1 = BatchNorm2d(planes)
        self.conv2 = _conv3x3(planes, planes, stride)
        self.bn2 = BatchNorm2d(planes)
        self.conv3 = Conv2d(planes, planes * 4, 1, bias=False)
        self.bn3 = BatchNorm2d(planes * 4)
        self.relu = ReLU(inplace=True)
        self.downsample = downsample
        self.stride = stride

    def forward(self, x: Any) -> Any:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        around = x if self.downsample is None else self.downsample(x)
        return self.relu(out + around)


class ResNet(Module):
    """Images (batch, 3, height, width) to scores of classes."""

    def __init__(
        self, block: Any, layers: tuple[int, int, int, int], num_classes: int = 1000
    ) -> None:
        super().__init__()
        self.inplanes = 64
        self.conv1 = Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = BatchNorm2d(64)
        self.relu = ReLU(inplace=True)
        self.maxpool = MaxPool2d(3, 2, 1)
        self.layer1 = self._layer(block, 64, layers[0], 1)
        self.layer2 = self._layer(block, 128, layers[1], 2)
        self.layer3 = self._layer(block, 256, layers[2], 2)
        self.layer4 = self._layer(block, 512, layers[3], 2)
        self.avgpool = AdaptiveAvgPool2d((1, 1))
        self.fc = Linear(512 * block.expansion, num_classes)
        for m in self.modules():
            if isinstance(m, Conv2d):
                init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")

    def _layer(self, block: Any, planes: int, blocks: int, stride: int) -> Sequential:
        downsample = None
        after = planes * block.expansion
        if stride != 1 or self.inplanes != after:
            downsample = Sequential(
                Conv2d(self.inplanes, after, 1, stride, bias=False), BatchNorm2d(after)
            )
        first = block(self.inplanes, planes, stride, downsample)
        self.inplanes = after
        return Sequential(first, *(block(after, planes) for _ in range(blocks - 1)))

    def forward(self, x: Any) -> Any:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        x = self.avgpool(x)
        return self.fc(x.reshape((x.shape[0], -1)))


def _resnet(block: Any, layers: tuple[int, int, int, int], weights: Any, settings: Any) -> ResNet:
    if weights is not None:
        raise ValueError(
            "no pretrained weights come along; build the model with weights=None, then "
            "model.load_state_dict(nn.load('file.safetensors'))"
        )
    return ResNet(block, layers, **settings)


def resnet18(weights: None = None, **settings: Any) -> ResNet:
    """ResNet-18, randomly initialised; `load_state_dict` takes torchvision's state dict."""
    return _resnet(BasicBlock, (2, 2, 2, 2), weights, settings)


def resnet34(weights: None = None, **settings: Any) -> ResNet:
    """ResNet-34."""
    return _resnet(BasicBlock, (3, 4, 6, 3), weights, settings)


def resnet50(weights: None = None, **settings: Any) -> ResNet:
    """ResNet-50."""
    return _resnet(Bottleneck, (3, 4, 6, 3), weights, settings)
