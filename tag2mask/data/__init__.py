"""What flows between the stages: index, instances, maps, tables, run lengths, COCO, photos, points."""
