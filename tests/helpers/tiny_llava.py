"""A tiny random LLaVA-NeXT of the real class, with a processor of a few words."""

import torch

from minivl.discovla.llava import CONDITIONED_PROMPT, PLAIN_PROMPT

TEMPLATE = (
    "{% for message in messages %}{% for part in message['content'] %}{% if part['type'] == 'image' %}<image> "
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endfor %}{% if add_generation_prompt %} answer :"
    "{% endif %}"
)


def tiny_processor(words):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlavaNextImageProcessor, LlavaNextProcessor, PreTrainedTokenizerFast

    vocabulary = {word: i for i, word in enumerate(["<pad>", "<s>", "</s>", "<unk>", "<image>", *sorted(words)])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        additional_special_tokens=["<image>"],
    )
    pictures = LlavaNextImageProcessor(
        size={"shortest_edge": 16},
        crop_size={"height": 16, "width": 16},
        image_grid_pinpoints=[[16, 32], [32, 16], [32, 32]],
    )
    return LlavaNextProcessor(
        pictures,
        fast,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE,
    ), len(vocabulary)


def tiny_llava(path):
    """A LLaVA-NeXT with random weights and its processor, saved in `path`."""
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaNextConfig, LlavaNextForConditionalGeneration

    words = set((CONDITIONED_PROMPT + " " + PLAIN_PROMPT).replace(".", " .").replace('"', ' " ').split())
    words |= {"answer", ":", "red", "pot", "carrot", "someone", "puts", "the", "into", "and", "hand"}
    processor, vocabulary = tiny_processor(words)
    torch.manual_seed(0)
    model = LlavaNextForConditionalGeneration(
        LlavaNextConfig(
            vision_config=CLIPVisionConfig(
                hidden_size=32,
                intermediate_size=32,
                num_hidden_layers=2,
                num_attention_heads=2,
                image_size=16,
                patch_size=8,
            ),
            text_config=LlamaConfig(
                vocab_size=vocabulary,
                hidden_size=32,
                intermediate_size=32,
                num_hidden_layers=2,
                num_attention_heads=2,
                num_key_value_heads=2,
                initializer_range=0.5,
            ),
            image_token_index=4,
            vision_feature_layer=-2,
            image_grid_pinpoints=[[16, 32], [32, 16], [32, 32]],
        )
    )
    model.save_pretrained(path)
    processor.save_pretrained(path)
    return path
