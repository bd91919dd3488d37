"""Region files of DS9 as masks, against the definition of each shape, pixel by pixel."""

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matplotlib.path import Path as Outline

from crsteps.datamodels.region_files import read_ds9_regions
from crsteps.errors import CrstepsInputError

SHAPE = (24, 30)
Y, X = np.indices(SHAPE) + 1.0  # DS9's image coordinates of the centres of the pixels

anywhere = st.floats(-3, 33).map(lambda value: round(value, 2))
size = st.floats(1.5, 20).map(lambda value: round(value, 2))
angle = st.floats(-360, 360).map(lambda value: round(value, 1))
on_one_path = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def region_file(tmp_path):
    """Return a function that writes a region file and gives its path."""

    def write(text):
        path = tmp_path / "ds9.reg"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def turned(x, y, degrees):
    """Coordinates along the axes of a shape turned counter-clockwise."""
    offset = ((X - x) + 1j * (Y - y)) * np.exp(-1j * np.deg2rad(degrees))
    return offset.real, offset.imag


def read_or_empty(path):
    """Mask of a file whose shapes may lie outside the image."""
    try:
        return read_ds9_regions(path, SHAPE)
    except CrstepsInputError as error:
        if "holds no pixel of the image" not in str(error):
            raise
        return np.zeros(SHAPE, dtype=bool)


def assert_same(mask, distance):
    """Compare with a signed distance to the edge; pixels on the edge may go either way here."""
    clear = np.abs(distance) > 1e-6
    np.testing.assert_array_equal(mask[clear], distance[clear] < 0)


def distance_to_outline(corners):
    """Distance of each pixel to the nearest edge of a polygon."""
    corners = np.array(corners) @ [1, 1j]
    distances = []
    for start, end in zip(corners, np.roll(corners, -1), strict=True):
        pixel, edge = X + 1j * Y - start, end - start
        along = np.clip((pixel * edge.conjugate()).real / abs(edge) ** 2, 0, 1)
        distances.append(abs(pixel - along * edge))
    return np.min(distances, axis=0)


@on_one_path
@given(x=anywhere, y=anywhere, radius=size)
def test_circle(region_file, x, y, radius):
    mask = read_or_empty(region_file(f"image\ncircle({x},{y},{radius})\n"))
    assert_same(mask, np.hypot(X - x, Y - y) - radius)


@on_one_path
@given(x=anywhere, y=anywhere, inner=size, width=size)
def test_annulus(region_file, x, y, inner, width):
    mask = read_or_empty(region_file(f"image\nannulus({x},{y},{inner},{inner + width})\n"))
    distance = np.hypot(X - x, Y - y)
    assert_same(mask, np.maximum(inner - distance, distance - inner - width))


@on_one_path
@given(x=anywhere, y=anywhere, a=size, b=size, angle=angle)
def test_ellipse(region_file, x, y, a, b, angle):
    mask = read_or_empty(region_file(f"image\nellipse({x},{y},{a},{b},{angle})\n"))
    u, v = turned(x, y, angle)
    assert_same(mask, (u / a) ** 2 + (v / b) ** 2 - 1)


@on_one_path
@given(x=anywhere, y=anywhere, width=size, height=size, angle=angle)
def test_box(region_file, x, y, width, height, angle):
    mask = read_or_empty(region_file(f"image\nbox({x},{y},{width},{height},{angle})\n"))
    u, v = turned(x, y, angle)
    assert_same(mask, np.maximum(abs(u) - width / 2, abs(v) - height / 2))


@on_one_path
@given(st.lists(st.tuples(anywhere, anywhere), min_size=3, max_size=6, unique=True))
def test_polygon(region_file, corners):
    numbers = ",".join(f"{x},{y}" for x, y in corners)
    mask = read_or_empty(region_file(f"image\npolygon({numbers})\n"))
    pixels = np.column_stack([X.ravel(), Y.ravel()])
    inside = Outline([*corners, corners[0]], closed=True).contains_points(pixels)
    clear = distance_to_outline(corners) > 1e-6
    np.testing.assert_array_equal(mask[clear], inside.reshape(SHAPE)[clear])


def test_pixels_on_the_edge_belong_to_the_shape(region_file):
    square = np.zeros(SHAPE, dtype=bool)
    square[3:8, 5:10] = True
    for text in ("box(8,6,4,4,0)", "box(8,6,4,4,90)", "polygon(6,4,10,4,10,8,6,8)"):
        np.testing.assert_array_equal(
            read_ds9_regions(region_file(f"image;{text}"), SHAPE), square, err_msg=text
        )
    circle = read_ds9_regions(region_file("image\ncircle(10,10,5)"), SHAPE)
    assert circle[9, 14]  # (15, 10)
    assert circle[12, 13]  # (14, 13): 3-4-5
    annulus = read_ds9_regions(region_file("image\nannulus(10,10,5,6)"), SHAPE)
    assert annulus[9, 14]
    assert annulus[9, 15]


@pytest.mark.parametrize(
    ("several", "outer", "inner"),
    [
        ("box(15,12,4,2,8,6,12,10,30)", "box(15,12,12,10,30)", "box(15,12,4,2,30)"),
        ("ellipse(15,12,2,1,8,4,30)", "ellipse(15,12,8,4,30)", "ellipse(15,12,2,1,30)"),
        ("annulus(15,12,2,4,7)", "circle(15,12,7)", "circle(15,12,2)"),
        ("annulus(15,12,2,7,n=3)", "circle(15,12,7)", "circle(15,12,2)"),
    ],
)
def test_several_sizes_leave_the_smallest_out(region_file, several, outer, inner):
    mask = read_ds9_regions(region_file(f"image\n{several}"), SHAPE)
    apart = read_ds9_regions(region_file(f"image\n{outer}\n-{inner}"), SHAPE)
    assert mask.sum() - apart.sum() in range(5)  # the edge of the hole belongs to the ring
    np.testing.assert_array_equal(mask | apart, mask)


def test_points_are_the_nearest_pixels(region_file):
    path = region_file("image\npoint(3,4) # point=x\npoint(10.4,20.6)\npoint 30 24\n")
    assert np.argwhere(read_ds9_regions(path, SHAPE)).tolist() == [[3, 2], [20, 9], [23, 29]]


def test_a_file_as_ds9_writes_it(region_file):
    path = region_file(
        "# Region file format: DS9 version 4.1\n"
        "# Filename: a_b.fits[SCI]\n"
        'global color=green dashlist=8 3 width=1 font="helvetica 10" include=1 source=1\n'
        "image\n"
        "box(8,6,4,4,0) # color=red text={bad; worse}\n"
        "-circle(8,6,1)\n"
        "# text(3,3) text={a note}\n"
    )
    expected = np.zeros(SHAPE, dtype=bool)
    expected[3:8, 5:10] = True
    for y, x in ((5, 7), (4, 7), (6, 7), (5, 6), (5, 8)):
        expected[y, x] = False
    np.testing.assert_array_equal(read_ds9_regions(path, SHAPE), expected)


def test_exclusion_holds_wherever_it_stands(region_file):
    first = read_ds9_regions(region_file("image\n-circle(9,9,3)\nbox(9,9,11,11,0)"), SHAPE)
    last = read_ds9_regions(region_file("image\nbox(9,9,11,11,0)\n-circle(9,9,3)"), SHAPE)
    by_property = region_file("image\nbox(9,9,11,11,0)\ncircle(9,9,3) # include=0")
    np.testing.assert_array_equal(first, last)
    np.testing.assert_array_equal(read_ds9_regions(by_property, SHAPE), last)
    assert last.sum() == 11 * 11 - 29
    only = read_ds9_regions(region_file("image\n-circle(9,9,3)"), SHAPE)
    assert only.sum() == only.size - 29
    by_default = region_file("global include=0\nimage\n+box(9,9,11,11)\ncircle(9,9,3)")
    np.testing.assert_array_equal(read_ds9_regions(by_default, SHAPE), last)


def test_physical_coordinates_follow_the_header(region_file):
    # A section that starts at column 101, binned by two: image = physical / 2 + LTV.
    header = fits.Header({"LTM1_1": 0.5, "LTM2_2": 0.5, "LTV1": -50.0, "LTV2": -10.0})
    image = read_ds9_regions(region_file("image\ncircle(10,12,4)\nbox(20,5,4,2)"), SHAPE)
    physical = region_file("physical\ncircle(120,44,8)\nbox(140,30,8,4)")
    np.testing.assert_array_equal(read_ds9_regions(physical, SHAPE, header=header), image)
    by_suffix = region_file("physical\ncircle(10i,12i,4i)\nimage\nbox(140p,30p,8p,4p)")
    np.testing.assert_array_equal(read_ds9_regions(by_suffix, SHAPE, header=header), image)
    polygon = read_ds9_regions(region_file("image;polygon(6,10,14,10,14,14,6,14)"), SHAPE)
    physical = region_file("physical;polygon(112,40,128,40,128,48,112,48)")
    np.testing.assert_array_equal(read_ds9_regions(physical, SHAPE, header=header), polygon)
    # Without these keywords, and without a word about coordinates, they are those of the image.
    for text in ("physical\ncircle(10,12,4)\nbox(20,5,4,2)", "circle(10,12,4)\nbox(20,5,4,2)"):
        np.testing.assert_array_equal(read_ds9_regions(region_file(text), SHAPE), image)


@pytest.mark.parametrize(
    "text",
    [
        "fk5\ncircle(202.4,47.2,10)",
        "icrs;box(202.4,47.2,10,10,0)",
        "galactic\npoint(10,10)",
        "wcsa\ncircle(10,10,3)",
        "detector\ncircle(10,10,3)",
        'image\ncircle(10,10,3")',
        "image\ncircle(13:29:52.7,+47:11:43,3)",
        "image\ncircle(10d,10d,3d)",
    ],
)
def test_other_coordinates_are_refused_with_the_remedy(region_file, text):
    path = region_file(text)
    with pytest.raises(CrstepsInputError, match="save it in image coordinates") as caught:
        read_ds9_regions(path, SHAPE)
    assert str(path) in str(caught.value)


def test_turned_physical_coordinates_are_refused(region_file):
    header = fits.Header({"LTM1_1": 1.0, "LTM1_2": 0.1})
    with pytest.raises(CrstepsInputError, match="LTM keywords"):
        read_ds9_regions(region_file("physical\ncircle(10,10,3)"), SHAPE, header=header)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no region"),
        ("# only a comment\nimage\n", "holds no region"),
        ("image\npanda(10,10,0,90,2,3,5,1)", "panda.* is not known: give circle"),
        ("image\nline(1,1,5,5)", "line.* is not known"),
        ("image\ncomposite(10,10,0) || composite=1", "is not known"),
        ("SIMPLE  =                    T", "is not known"),
        ("image\ncircle(10,10)", "has not the numbers"),
        ("image\nbox(10,10,3)", "has not the numbers"),
        ("image\npolygon(1,1,5,5)", "has not the numbers"),
        ("image\ncircle(10p,10,3i)", "has not the numbers"),
        ("image\ncircle(10,10,-3)", "negative size"),
        ("image\nbox(10,10,3,3,x)", "angle of box.* is no number"),
        ("image\ncircle(100,100,5)", "holds no pixel of the image of 30 x 24 pixels"),
        ("image\n-circle(100,100,5)", "holds no pixel"),
        ("image\npolygon(100,100,110,100,110,110)", "holds no pixel"),
        ("image\ncircle(10.5,10.5,0.2)", "holds no pixel"),
        ("image\npoint(31,3)", "holds no pixel"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_sentence(region_file, text, message):
    path = region_file(text)
    with pytest.raises(CrstepsInputError, match=message) as caught:
        read_ds9_regions(path, SHAPE)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    for path in (tmp_path / "absent.reg", tmp_path):
        with pytest.raises(CrstepsInputError, match="cannot be read") as caught:
            read_ds9_regions(path, SHAPE)
        assert str(path) in str(caught.value)
