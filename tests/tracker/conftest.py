"""Small networks with random weights, for the tests of the tracker."""

import pytest
import tiny


@pytest.fixture(scope="module")
def model():
    return tiny.load("aost", "model.depth=2")


@pytest.fixture(scope="module", params=["v2", "gpm"])
def of_each_block(request):
    return tiny.of_block(request.param)
