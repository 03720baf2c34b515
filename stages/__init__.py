"""tag2mask: image tags in, instance masks out. One package per stage; the same word everywhere."""
