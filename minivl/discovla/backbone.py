"""The CLIPs that can be adapted."""

from torch.nn import Module, Parameter


class UnsupportedBackbone(ValueError):
    """A CLIP with another architecture than the one the paper adapts."""


def require_vit_clip(clip_model: Module) -> None:
    """Raise UnsupportedBackbone, naming every reason, unless this is CLIP as OpenAI designed it.

    That is open_clip's `CLIP` with a vision transformer read at its class token and a causal text
    transformer read at the end-of-text token, both made of plain attention blocks.
    """
    from open_clip.model import CLIP
    from open_clip.transformer import ResidualAttentionBlock, VisionTransformer

    reasons = []
    if not isinstance(clip_model, CLIP):
        reasons.append(f"the model is {type(clip_model).__name__}, not open_clip.CLIP")
    elif not isinstance(clip_model.visual, VisionTransformer):
        reasons.append(f"the vision tower is {type(clip_model.visual).__name__}, not VisionTransformer")
    else:
        visual, text = clip_model.visual, clip_model
        class_token = visual.pool_type == "tok" and visual.attn_pool is None
        causal = text.attn_mask is not None and len(text.positional_embedding) == text.context_length
        projections = isinstance(visual.proj, Parameter) and isinstance(text.text_projection, Parameter)
        blocks = [*visual.transformer.resblocks, *text.transformer.resblocks]
        requirements = {
            "images must be read at the class token (pool_type 'tok', no attentional pooling)": class_token,
            "texts must be read at the largest id (pool_type 'argmax')": text.text_pool_type == "argmax",
            "the text tower must be causal and without a class embedding": causal,
            "both towers must end in a projection without bias": projections,
            "every block must be a plain ResidualAttentionBlock": all(
                type(b) is ResidualAttentionBlock for b in blocks
            ),
        }
        reasons += [reason for reason, met in requirements.items() if not met]
    if reasons:
        raise UnsupportedBackbone(
            "DiscoVLA adapts vision-transformer CLIPs as OpenAI designed them (ViT-B-32, "
            "ViT-B-16, ViT-L-14, ...). This one does not fit: " + "; ".join(reasons)
        )
