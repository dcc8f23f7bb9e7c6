"""Drawings of the lessons: what plots cannot show because it is not measured, how the parts hang together.

Each function returns a `Drawing`, SVG with alternative text, which a notebook displays as it does the pictures of
minivl.plots. What a drawing states of the code it asks the code: masks, grids, ranks and weights are computed.
"""

from minivl.drawings.attention import attention_strategies
from minivl.drawings.clip import clip_on_videos, constant_shift, discrepancies
from minivl.drawings.data import data_schema
from minivl.drawings.discovla import caption_frame_matching, discovla_modules, distillation
from minivl.drawings.interactive import editable_matrix, levels, masking_by_click, slider
from minivl.drawings.motion import candidate_bag, class_tokens_read, distributions_through
from minivl.drawings.narration import shifted_speech
from minivl.drawings.search import beam_search, evaluation_protocol
from minivl.drawings.univl import enhanced_video, staged_pretraining, univl_modules
from minivl.drawings.univl_tasks import univl_task
