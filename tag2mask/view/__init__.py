"""Pictures, and looking into stores."""
