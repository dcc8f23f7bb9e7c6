"""A page that shows how captions and clips are aligned: distributions, matrix, ranking, embeddings, two models at once.

explore(exploration)                    shows it in a notebook; needs no running kernel
write_page(exploration, "page.html")    one file, without server or network
save_exploration, load_exploration      the file format, docs/alignment-files.md
"""

from minivl.explorer.alignments import Alignment, AlignmentError, Clips, Exploration, together
from minivl.explorer.files import load_exploration, save_exploration
from minivl.explorer.show import Explorer, explore, write_page
