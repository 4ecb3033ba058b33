"""Arrays and tensors that are rows: masks, layouts and dtypes that numpy does not have."""

import warnings

import numpy as np
import pytest
import torch
from tiny import without_array

from skembed import BertEmbedder, CNNImageEmbedder, Word2VecVectorizer
from skembed.base._arrays import array_of_tensor, is_tensor, numbers_of, unmasked
from skembed.base._files import UnreadableRowError
from skembed.exceptions import BadRowsError

VALUES = torch.linspace(0, 1, 12).reshape(3, 4)
SPARSE, COMPRESSED, QUANTIZED = without_array(VALUES)
WITHOUT_ARRAY = [
    (SPARSE, r"a sparse tensor \(sparse_coo\); make it dense: tensor.to_dense\(\)"),
    (COMPRESSED, r"a sparse tensor \(sparse_csr\); make it dense: tensor.to_dense\(\)"),
    (QUANTIZED, r"a quantized tensor \(torch.qint8\); make it floats: tensor.dequantize\(\)"),
    (VALUES.to("meta"), r"a tensor on meta; move it: tensor.cpu\(\)"),
]


def test_tensors_that_numpy_does_not_read_directly():
    expected = VALUES.numpy()
    for tensor in (VALUES, torch.nn.Parameter(VALUES), torch._neg_view(-VALUES)):
        assert is_tensor(tensor)
        np.testing.assert_array_equal(array_of_tensor(tensor), expected)
    for dtype in (torch.bfloat16, torch.float8_e4m3fn):
        array = array_of_tensor(VALUES.to(dtype))
        assert array.dtype == np.float32
        np.testing.assert_allclose(array, expected, atol=0.05)
    turned = torch.complex(VALUES, VALUES).conj()
    np.testing.assert_array_equal(array_of_tensor(turned), turned.resolve_conj().numpy())
    assert not is_tensor(expected)


@pytest.mark.parametrize(("tensor", "message"), WITHOUT_ARRAY)
def test_tensors_without_an_array_are_named_with_the_remedy(tensor, message):
    with pytest.raises(UnreadableRowError, match=message):
        array_of_tensor(tensor)


def test_nested_tensors():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nested = torch.nested.nested_tensor([VALUES[0], VALUES[1, :2]])
    with pytest.raises(UnreadableRowError, match=r"take it apart: tensor.unbind\(\)"):
        array_of_tensor(nested)


@pytest.mark.parametrize("tensor", [VALUES, VALUES[0].bfloat16(), *(x for x, _ in WITHOUT_ARRAY)])
@pytest.mark.parametrize("estimator", [BertEmbedder, Word2VecVectorizer])
def test_a_tensor_holds_no_texts(estimator, tensor):
    with pytest.raises(ValueError, match=r"expects texts, but X is numeric \(dtype torch\."):
        estimator().fit(tensor)


def test_masks():
    plain = np.arange(6.0)
    assert unmasked(plain) is plain
    open_mask = unmasked(np.ma.masked_array(plain))
    assert type(open_mask) is np.ndarray
    np.testing.assert_array_equal(open_mask, plain)
    with pytest.raises(UnreadableRowError, match=r"1 masked value; fill it: array.filled\(value\)"):
        unmasked(np.ma.masked_equal(plain, 2))
    with pytest.raises(UnreadableRowError, match="an array with 3 masked values"):
        unmasked(np.ma.masked_less(plain.astype(object), 3))
    with pytest.raises(UnreadableRowError, match="a masked value"):
        unmasked(np.ma.masked)


def test_texts_that_are_masked_are_missing():
    texts = np.ma.masked_array(np.array(["a b", "c d"], dtype=object), mask=[False, True])
    for X in (texts, texts[:, None], texts.astype(str)):
        assert Word2VecVectorizer().find_bad_rows(X)[0][:2] == (1, 0)
    with pytest.raises(BadRowsError, match=r"row 1: MaskedConstant\). Fill it in"):
        Word2VecVectorizer().fit(["a b", np.ma.masked])
    with pytest.raises(BadRowsError, match=r"row 1: a masked value\). Fill it in"):
        CNNImageEmbedder("resnet-small-32", pretrained=False).fit([np.zeros((9, 9)), np.ma.masked])
    words = np.ma.masked_array(np.array(["a", "b"]), mask=[False, True])
    assert len(Word2VecVectorizer().find_bad_rows([words, ["a", "b"]])) == 1


def test_objects_that_are_numbers():
    assert numbers_of(np.array([[1, 2], [3, 4]], dtype=object)).dtype.kind == "i"
    for items in (["a", 1.0], [None, 1.0], [[1.0], [1.0, 2.0]], [2**80, 1.5]):
        array = np.empty(2, dtype=object)
        array[:] = items
        numbers = numbers_of(array)
        assert numbers is array or numbers.dtype == np.float64
    arrays = np.empty(2, dtype=object)
    arrays[:] = [np.zeros(3), np.ones(3)]
    assert numbers_of(arrays) is arrays
