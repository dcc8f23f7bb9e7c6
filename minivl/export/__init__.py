"""Models as ONNX files, which run without torch: in a browser, on a phone, from C++.

export_query_encoder(text, max_words)         the text tower of a CLIP, adapted or not
export_caption_reader(univl, words, frames)   UniVL's text and cross encoder
export_next_word(univl, beams, words, frames) one step of UniVL's decoder
"""

from minivl.export.onnx import export_caption_reader, export_next_word, export_query_encoder
