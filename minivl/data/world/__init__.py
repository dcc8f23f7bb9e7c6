"""The kitchen world: a small, rendered, fully known stand-in for instructional video.

`meals` says what can be cooked and who shares what, `render` and `things` draw it, `language` talks about it,
`timeline` puts steps on a clock, `build` writes mp4 files with their metadata, `opinions` makes the
clips in which a cook gives an opinion.
"""
