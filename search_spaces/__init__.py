"""What can be chosen: subnets, exits, clocks; their operators and features. Needs numpy alone."""

from search_spaces.arrays import Bools, Floats, Genes, Ints
from search_spaces.block_sparse import BlockSparseSpace
from search_spaces.catalog import get_space, register_space, space_from_dict, space_names
from search_spaces.dvfs import DvfsLevel
from search_spaces.encoding import encode, feature_blocks, feature_names
from search_spaces.errors import InputError
from search_spaces.exits import ExitPolicy, PolicyGrid, format_heads, ideal_mapping, parse_heads
from search_spaces.files import json_sha256, write_bytes, write_text
from search_spaces.groups import GroupSpace
from search_spaces.mobilenetv3 import MobileNetV3Space
from search_spaces.nasbench201 import NASBench201Space
from search_spaces.ofa import OnceForAllSpace
from search_spaces.operators import OperatorBuilder, Operators
from search_spaces.outside import (
    as_meant,
    harmless,
    json_object,
    read_bytes,
    read_json,
    read_tensor_file,
    read_tensor_header,
    read_text,
)
from search_spaces.proxyless import ProxylessNASSpace
from search_spaces.ratios import RatioSpace
from search_spaces.resnet import RESOLUTIONS, ResNetSpace, resnet_cifar, resnet_digits, resnet_for
from search_spaces.resnet50 import ResNet50Space
from search_spaces.rows import Row
from search_spaces.space import GeneGroup, Space
from search_spaces.stages import StagedSpace
from search_spaces.subnet import Subnet
from search_spaces.unit_ratios import UnitRatioSpace

__all__ = [
    "RESOLUTIONS",
    "BlockSparseSpace",
    "Bools",
    "DvfsLevel",
    "ExitPolicy",
    "Floats",
    "GeneGroup",
    "Genes",
    "GroupSpace",
    "InputError",
    "Ints",
    "MobileNetV3Space",
    "NASBench201Space",
    "OnceForAllSpace",
    "OperatorBuilder",
    "Operators",
    "PolicyGrid",
    "ProxylessNASSpace",
    "RatioSpace",
    "ResNet50Space",
    "ResNetSpace",
    "Row",
    "Space",
    "StagedSpace",
    "Subnet",
    "UnitRatioSpace",
    "as_meant",
    "encode",
    "feature_blocks",
    "feature_names",
    "format_heads",
    "get_space",
    "harmless",
    "ideal_mapping",
    "json_object",
    "json_sha256",
    "parse_heads",
    "read_bytes",
    "read_json",
    "read_tensor_file",
    "read_tensor_header",
    "read_text",
    "register_space",
    "resnet_cifar",
    "resnet_digits",
    "resnet_for",
    "space_from_dict",
    "space_names",
    "write_bytes",
    "write_text",
]
