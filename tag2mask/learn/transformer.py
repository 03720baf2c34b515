"""Vision transformers of timm (ViT, DINOv2) as extractors of feature maps."""

from torch import nn


def is_transformer(name):
    """Whether timm's architecture `name` is a plain vision transformer, whose tokens are the patches of a grid."""
    import timm

    return timm.models.is_model_in_modules(name, ["vision_transformer"])


class PatchMaps(nn.Module):
    """x (B, 3, H, W) -> after every block the map (B, C, ceil(H / patch), ceil(W / patch)) of its patches' tokens.

    name : of a timm architecture, see `is_transformer`. Every map went through the network's last normalisation, as
    DINOv2's own dense features do. Position embeddings, kept at the size of the weights (DINOv2: 37 x 37), are
    interpolated to each photo's; a photo that patches do not tile is padded with 0 to the right and below. A patch is
    its cell's own square of the photo. vit : the network, by whose names files have its tensors.
    """

    def __init__(self, name):
        import timm
        from timm.models import FeatureInfo

        super().__init__()
        self.vit = timm.create_model(name, pretrained=False, num_classes=0, dynamic_img_size=True, dynamic_img_pad=True)
        levels = [{**info, "module": f"vit.{info['module']}"} for info in self.vit.feature_info]
        self.feature_info = FeatureInfo(levels, tuple(range(len(levels))))

    def forward(self, x):
        return self.vit.forward_intermediates(x, norm=True, output_fmt="NCHW", intermediates_only=True)
