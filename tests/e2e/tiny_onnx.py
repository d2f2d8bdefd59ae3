"""Small ONNX models as bytes, written field by field (protobuf wire format): for tests only."""
import struct

FLOAT, UINT8, INT8, UINT16, INT16, INT32, INT64, STRING, BOOL, FLOAT16, DOUBLE = range(1, 12)
UINT32, UINT64, BFLOAT16 = 12, 13, 16


def varint(number):
    number &= (1 << 64) - 1
    out = bytearray()
    while True:
        out.append(number & 0x7F | (0x80 if number > 0x7F else 0))
        number >>= 7
        if number == 0:
            return bytes(out)


def field(tag, value):
    if isinstance(value, int):
        return varint(tag << 3) + varint(value)
    if isinstance(value, float):
        return varint(tag << 3 | 5) + struct.pack("<f", value)
    if isinstance(value, str):
        value = value.encode()
    return varint(tag << 3 | 2) + varint(len(value)) + value


def tensor(name, kind, dims, raw):
    return b"".join(field(1, dim) for dim in dims) + field(2, kind) + field(8, name) + field(9, raw)


def port(name, kind, dims):
    """dims: numbers, or names of free ones."""
    shape = b"".join(field(1, field(1, dim) if isinstance(dim, int) else field(2, dim))
                     for dim in dims)
    return field(1, name) + field(2, field(1, field(1, kind) + field(2, shape)))


def attribute(name, value):
    if isinstance(value, int):
        return field(1, name) + field(3, value) + field(20, 2)
    if isinstance(value, float):
        return field(1, name) + field(2, value) + field(20, 1)
    return field(1, name) + b"".join(field(8, one) for one in value) + field(20, 7)


def node(op, inputs, outputs, **attributes):
    return (b"".join(field(1, one) for one in inputs) + b"".join(field(2, one) for one in outputs)
            + field(4, op) + b"".join(field(5, attribute(key, value))
                                      for key, value in attributes.items()))


def model(nodes, inputs, outputs, weights=(), opset=13):
    graph = (b"".join(field(1, one) for one in nodes) + field(2, "test")
             + b"".join(field(5, one) for one in weights)
             + b"".join(field(11, one) for one in inputs)
             + b"".join(field(12, one) for one in outputs))
    return field(1, 8) + field(7, graph) + field(8, field(1, "") + field(2, opset))


def add(addend=(1, 2, 3, 4), batch="batch"):
    """y = x + addend; x is f32[batch x 4]."""
    weight = tensor("w", FLOAT, [len(addend)], struct.pack(f"<{len(addend)}f", *addend))
    return model([node("Add", ["x", "w"], ["y"])], [port("x", FLOAT, [batch, len(addend)])],
                 [port("y", FLOAT, [batch, len(addend)])], [weight])


def pair():
    """s = a + b, d = a - b; f32[batch x 2] and more types of inputs that are passed through."""
    ports = [port(name, FLOAT, ["batch", 2]) for name in "ab"]
    return model([node("Add", ["a", "b"], ["s"]), node("Sub", ["a", "b"], ["d"])], ports,
                 [port(name, FLOAT, ["batch", 2]) for name in "sd"])


def same(kind, dims=(3,)):
    """y = x of any type."""
    return model([node("Identity", ["x"], ["y"])], [port("x", kind, dims)], [port("y", kind, dims)])


def softmax(width=5):
    return model([node("Softmax", ["x"], ["y"], axis=1)], [port("x", FLOAT, ["batch", width])],
                 [port("y", FLOAT, ["batch", width])])


def lookup():
    """y = table[x]; an index outside of -4..3 fails at run time."""
    table = tensor("table", FLOAT, [4], struct.pack("<4f", 10, 11, 12, 13))
    return model([node("Gather", ["table", "x"], ["y"])], [port("x", INT64, ["batch"])],
                 [port("y", FLOAT, ["batch"])], [table])


def busy(width, layers, batch=1):
    """y = x . w . w ... with one w: takes layers * 2 * width^2 floating-point operations a row."""
    weight = tensor("w", FLOAT, [width, width],
                    struct.pack(f"<{width}f", *([1.0 / width] * width)) * width)
    names = ["x"] + [f"h{i}" for i in range(layers - 1)] + ["y"]
    nodes = [node("MatMul", [a, "w"], [b]) for a, b in zip(names, names[1:])]
    return model(nodes, [port("x", FLOAT, [batch, width])], [port("y", FLOAT, [batch, width])],
                 [weight])
