"""Debian's python3-hpack, a line a question: what a block holds, or which block fields make."""
import sys

from hpack import Decoder, Encoder, HPACKError, HeaderTuple, NeverIndexedHeaderTuple, OversizedHeaderListError

decoder, encoder = Decoder(), Encoder()


def pairs(fields):
    return " ".join(f"{bytes(name).hex()}:{bytes(value).hex()}" for name, value in fields)


for line in sys.stdin:
    command, _, rest = line.rstrip("\n").partition(" ")
    if command == "new":
        decoder, encoder = Decoder(), Encoder()
        answer = ""
    elif command == "decode":
        try:
            answer = "fields " + pairs(decoder.decode(bytes.fromhex(rest), raw=True))
        except OversizedHeaderListError:
            answer = "large"
        except HPACKError:
            answer = "malformed"
    elif command == "size":
        encoder.header_table_size = int(rest)
        answer = ""
    else:
        kinds = {"i": HeaderTuple, "n": NeverIndexedHeaderTuple}
        fields = []
        for field in rest.split():
            kind, name, value = field.split(":")
            fields.append(kinds[kind](bytes.fromhex(name), bytes.fromhex(value)))
        answer = encoder.encode(fields, huffman=command == "huffman").hex()
    print(answer, flush=True)
